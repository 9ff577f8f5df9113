/* The measured phases, but for `offer`: as much as the server can do, for so long. */

#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_EVENTS = 1024 };

/* Waits for what happens next; what becomes of a server that does nothing. */
static int next_events(struct epoll_event *events, size_t waiting)
{
    int n = epoll_wait(epoll_fd, events, MOST_EVENTS, STALL_MS);

    if (n == 0)
        fail("no answer for %d ms, %zu connections are waiting", STALL_MS, waiting);
    return n;
}

/* Sends what waits for room, receives what has come: how many lines are complete now. */
static size_t attend(struct connection *c, uint32_t events)
{
    if (c->idle)
        fail("an idle connection was closed, or was told what it had not asked");
    if (events & EPOLLOUT)
        send_owed(c);
    return events & ~(uint32_t)EPOLLOUT ? receive(c) : 0;
}

static void check_active(void)
{
    if (active == 0)
        fail("no active connections");
}

/* Batch after batch; or, rolling, a new line for each that was answered. */
void run(size_t pipeline, bool rolling, double seconds)
{
    struct epoll_event events[MOST_EVENTS];
    size_t running = active, requests = 0;
    double start = now(), end = start + seconds;

    check_active();
    if (pipeline == 0)
        fail("a batch has at least one line");
    for (size_t i = 1; i <= active; i++)
        ask(&connections[i], pipeline);
    while (running > 0) {
        int n = next_events(events, running);
        bool go_on = now() < end;

        for (int i = 0; i < n; i++) {
            struct connection *c = &connections[events[i].data.u32];
            size_t lines = attend(c, events[i].events);
            bool all = lines > 0 && c->received == c->asked;

            requests += lines;
            if (go_on && (all || rolling) && lines > 0)
                ask(c, rolling ? lines : pipeline);
            else if (all)
                running--;
        }
    }
    printf("{\"requests\": %zu, \"seconds\": %.6f}\n", requests, now() - start);
}

void laps(size_t wanted)
{
    struct epoll_event events[MOST_EVENTS];
    size_t running = active;
    double start = now();

    check_active();
    for (size_t i = 1; i <= active; i++) {
        connections[i].begun = connections[i].asked;
        ask(&connections[i], 1);
    }
    while (running > 0) {
        int n = next_events(events, running);

        for (int i = 0; i < n; i++) {
            struct connection *c = &connections[events[i].data.u32];
            if (attend(c, events[i].events) == 0)
                continue;
            if (c->received - c->begun < wanted * line_size)
                ask(c, 1);
            else
                running--;
        }
    }
    printf("{\"requests\": %zu, \"seconds\": %.6f}\n", wanted * active, now() - start);
}

/* True when the server has ended a connection that is owed nothing more. */
static bool has_ended(struct connection *c)
{
    char more;

    ssize_t n = recv(c->fd, &more, 1, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n < 0)
        fail("recv, after the answer: %s", strerror(errno));
    if (n > 0)
        fail("more bytes than were asked for");
    return true;
}

static void begin_anew(struct connection *c)
{
    connect_to_server(c);
    ask(c, 1);
}

void churn(size_t at_once, double seconds)
{
    struct epoll_event events[MOST_EVENTS];
    size_t running = at_once, requests = 0;
    double start = now(), end = start + seconds;

    if (count != 1 || connections[0].fd != -1)
        fail("there are connections open");
    if (at_once == 0 || at_once > OPEN_AT_ONCE)
        fail("between one and %d at once", OPEN_AT_ONCE);
    for (size_t i = 1; i <= at_once; i++) {
        connections[i].idle = false;
        begin_anew(&connections[i]);
    }
    while (running > 0) {
        int n = next_events(events, running);

        for (int i = 0; i < n; i++) {
            struct connection *c = &connections[events[i].data.u32];
            if (c->received < c->asked) {
                attend(c, events[i].events);
                if (c->received < c->asked)
                    continue;
                shutdown(c->fd, SHUT_WR);
            }
            if (!has_ended(c))
                continue;
            close(c->fd);
            requests++;
            if (now() < end)
                begin_anew(c);
            else
                running--;
        }
    }
    printf("{\"requests\": %zu, \"seconds\": %.6f}\n", requests, now() - start);
}
