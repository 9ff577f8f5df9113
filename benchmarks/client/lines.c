/* Lines: made, sent, received and compared. */

#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum {
    STAMP = 16,             /* letters that say whose line this is, and which */
    MOST_SENT = 1 << 16,    /* bytes of one `send` */
    MOST_RECEIVED = 1 << 18,
};

struct sockaddr_in server;
bool datagrams, echo;
size_t line_size;
int epoll_fd;
struct connection connections[MAX_CONNECTIONS];
size_t count, active;

static char question[MAX_LINE], answer[MAX_LINE];  /* but for the stamp */
static char outgoing[MOST_SENT], incoming[MOST_RECEIVED], wanted[MOST_RECEIVED];

static void fill(char *line, char a)
{
    for (size_t i = 0; i < line_size - 1; i++)
        line[i] = (char)(a + (int)(i % 26));
    line[line_size - 1] = '\n';
}

void prepare_lines(void)
{
    if (line_size <= STAMP || line_size > MAX_LINE)
        fail("a line has between %d and %d bytes", STAMP + 1, MAX_LINE);
    fill(question, 'a');
    fill(answer, echo ? 'a' : 'A');
}

/* Every line is different: an answer that is late, doubled or another
 * connection's does not pass for the right one. */
static void copy_lines(char *to, const struct connection *c, uint64_t from, size_t size, const char *line)
{
    uint64_t owner = (uint64_t)(c - connections) << 32;
    char a = line[0];

    while (size > 0) {
        uint64_t stamp = owner | (uint32_t)(from / line_size);
        size_t at = from % line_size;
        size_t n = line_size - at < size ? line_size - at : size;

        memcpy(to, line + at, n);
        for (size_t i = at; i < STAMP && i < at + n; i++)
            to[i - at] = (char)(a + (int)((stamp >> (4 * i)) & 15));
        to += n;
        from += n;
        size -= n;
    }
}

static void await_room(struct connection *c, bool congested)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLRDHUP | (congested ? EPOLLOUT : 0),
        .data.u32 = (uint32_t)(c - connections),
    };

    if (c->congested == congested)
        return;
    c->congested = congested;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
}

void send_owed(struct connection *c)
{
    size_t most = datagrams ? line_size : MOST_SENT;

    while (c->sent < c->asked) {
        size_t size = c->asked - c->sent < most ? c->asked - c->sent : most;

        copy_lines(outgoing, c, c->sent, size, question);
        ssize_t n = send(c->fd, outgoing, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            fail("send: %s", strerror(errno));
        if (n < 0)
            break;
        c->sent += (uint64_t)n;
    }
    await_room(c, c->sent < c->asked);
}

void ask(struct connection *c, size_t lines)
{
    c->asked += lines * line_size;
    if (c->asked - c->received > MAX_AWAITED)
        fail("more than %d bytes are awaited on one connection", MAX_AWAITED);
    if (!c->congested)
        send_owed(c);
}

/* One recv; how many lines it has completed, all of them right. */
size_t receive(struct connection *c)
{
    ssize_t n = recv(c->fd, incoming, sizeof incoming, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        fail("recv: %s", strerror(errno));
    if (n == 0)
        fail("the server closed a connection that was owed %zu bytes", (size_t)(c->asked - c->received));
    if (datagrams && n != (ssize_t)line_size)
        fail("a datagram of %zd bytes came for one of %zu", n, line_size);
    if (c->received + (uint64_t)n > c->asked)
        fail("%zu bytes more than were asked for", (size_t)(c->received + (uint64_t)n - c->asked));
    copy_lines(wanted, c, c->received, (size_t)n, answer);
    if (memcmp(incoming, wanted, (size_t)n) != 0)
        fail("wrong answer on connection %zd", c - connections);

    size_t before = c->received / line_size;
    c->received += (uint64_t)n;
    return c->received / line_size - before;
}

void say_one_line(struct connection *c)
{
    ask(c, 1);
    while (c->received < c->asked) {
        struct pollfd one = {.fd = c->fd, .events = (short)(POLLIN | (c->congested ? POLLOUT : 0))};

        if (poll(&one, 1, STALL_MS) == 0)
            fail("no answer for %d ms", STALL_MS);
        if (one.revents & POLLOUT)
            send_owed(c);
        if (one.revents & ~POLLOUT)
            receive(c);
    }
}
