/* Connections: opened so that no server loses any, and closed. */

#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PER_SOURCE = 8192,      /* connections from one loopback address */
    SOURCES = 128,          /* such addresses, before the first comes again */
};

static uint32_t opened;     /* those that are closed again counted too */

void connect_to_server(struct connection *c)
{
    int on = 1;

    c->congested = false;
    c->fd = socket(AF_INET, datagrams ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (c->fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);

    /* Several source addresses, so that no range of ports is too small. */
    struct sockaddr_in source = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + opened / PER_SOURCE % SOURCES),
    };
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&source, sizeof source) < 0)
        fail("bind: %s", strerror(errno));
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) < 0)
        fail("connect, after %u connections: %s", opened, strerror(errno));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);

    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u32 = (uint32_t)(c - connections)};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
    opened++;
}

struct connection *open_connection(bool idle)
{
    if (count == MAX_CONNECTIONS)
        fail("more than %d connections", MAX_CONNECTIONS);
    struct connection *c = &connections[count];

    *c = (struct connection){.idle = idle};
    connect_to_server(c);
    count++;
    return c;
}

/* Opens a few at a time and makes sure that they were accepted before it goes
 * on: an overflowing accept queue would cost a second for each lost SYN, and
 * servers of different backlogs could not be compared.  A connection that is
 * silent cannot tell; but when the probe has been answered twice since, a
 * whole turn of the server's loop has passed. */
void open_connections(size_t wanted, bool idle, bool speak, size_t at_once)
{
    for (size_t done = 0; done < wanted;) {
        struct connection *first = &connections[count];
        size_t n = wanted - done < at_once ? wanted - done : at_once;

        for (size_t i = 0; i < n; i++)
            open_connection(idle);
        if (speak) {
            for (size_t i = 0; i < n; i++)
                say_one_line(&first[i]);
        } else {
            say_one_line(&connections[0]);
            say_one_line(&connections[0]);
        }
        done += n;
    }
}

void dismiss_probe(void)
{
    close(connections[0].fd);
    connections[0].fd = -1;
}

void drop_idle(void)
{
    while (count > 1 + active)
        close(connections[--count].fd);
}

void check_silence(void)
{
    struct epoll_event event;

    if (epoll_wait(epoll_fd, &event, 1, 0) > 0)
        fail("connection %u was closed, or was told what it had not asked", event.data.u32);
}
