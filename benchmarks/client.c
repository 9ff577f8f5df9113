/* The load: many connections to one line server, every reply checked.
 *
 * It is C so that it costs less than any server it drives: the server is then
 * the one that is always busy, and what is measured is the server.
 *
 * usage: client HOST PORT LINE_SIZE [udp]
 *
 * With `udp` a line is a datagram, and a connection a socket that knows its peer.
 *
 * It is told what to do on standard input, one command a line, and answers
 * each with one line of JSON.  Between two commands it does nothing at all and
 * keeps its connections, so that the harness can read the server's CPU time,
 * memory and system calls around a steady phase:
 *
 *   active COUNT            open connections that `run` will use
 *   idle COUNT SPEAK        open connections that stay idle, after one line
 *                           each if SPEAK is 1, silent from the start if 0
 *   drop                    close the idle ones
 *   check                   is every connection still open and silent?
 *   run PIPELINE SECONDS    on each active connection: send PIPELINE lines at
 *                           once, wait for the upper-cased lines, compare them
 *                           byte for byte, repeat; then wait for what is owed
 *   dismiss                 close the probe, the connection that is there from
 *                           the start: some servers have no more than one
 *   churn AT_ONCE SECONDS   with no connection open: connect, send a line, wait
 *                           for its answer, end our half, wait for the server to
 *                           end its own, close, repeat; so many at a time
 *   (end of input)          close everything and exit
 *
 * The first thing that is not as it should be is answered with
 * {"error": "..."} and exit status 1: figures of a wrong server are worthless.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_CONNECTIONS = 65536,
    MAX_BATCH = 65536,      /* bytes; fits any socket buffer, so one send does */
    STAMP = 16,             /* letters that say whose line this is, and which */
    OPEN_AT_ONCE = 4,       /* below socketserver's listen backlog of 5 */
    PER_SOURCE = 8192,      /* connections from one loopback address */
    SOURCES = 128,          /* such addresses, before the first comes again */
    STALL_MS = 10000,       /* a server that is silent for so long has failed */
};

struct connection {
    int fd;
    bool idle;
    uint32_t sent;          /* lines sent so far */
    size_t expected;        /* bytes of the replies now awaited */
    size_t received;        /* and how many of them have come */
    char *reply;
};

static struct sockaddr_in server;
static int socket_type = SOCK_STREAM;
static size_t line_size;
static int epoll_fd;

/* 0 is the probe, then the active connections, then the idle ones. */
static struct connection connections[MAX_CONNECTIONS];
static size_t count, active;
static uint32_t opened;     /* those that are closed again counted too */

static char batch[MAX_BATCH], wanted[MAX_BATCH];

static void fail(const char *format, ...)
{
    va_list arguments;

    printf("{\"error\": \"");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\"}\n");
    exit(1);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ---- lines ------------------------------------------------------------- */

/* Every line is different: a reply that is late, doubled or another
 * connection's does not pass for the right one. */
static void write_line(char *to, uint64_t stamp, char a)
{
    for (int i = 0; i < STAMP; i++)
        *to++ = (char)(a + (int)((stamp >> (4 * i)) & 15));
    for (size_t i = STAMP; i < line_size - 1; i++)
        *to++ = (char)(a + (int)(i % 26));
    *to = '\n';
}

static void write_lines(char *to, const struct connection *c, uint32_t first, size_t lines, char a)
{
    uint64_t owner = (uint64_t)(c - connections) << 32;

    for (size_t i = 0; i < lines; i++)
        write_line(to + i * line_size, owner | (first + (uint32_t)i), a);
}

static void send_batch(struct connection *c, size_t lines)
{
    size_t size = lines * line_size;

    write_lines(batch, c, c->sent, lines, 'a');
    ssize_t n = send(c->fd, batch, size, MSG_NOSIGNAL);
    if (n != (ssize_t)size)
        fail("send took %zd of %zu bytes: %s", n, size, n < 0 ? strerror(errno) : "short");
    c->sent += (uint32_t)lines;
    c->expected = size;
    c->received = 0;
}

/* One recv; true when all the replies have come and were right. */
static bool receive(struct connection *c)
{
    ssize_t n = recv(c->fd, c->reply + c->received, MAX_BATCH - c->received, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n < 0)
        fail("recv: %s", strerror(errno));
    if (n == 0)
        fail("the server closed a connection that was owed %zu bytes", c->expected - c->received);
    c->received += (size_t)n;
    if (c->received < c->expected)
        return false;
    if (c->received > c->expected)
        fail("%zu bytes more than were asked for", c->received - c->expected);

    size_t lines = c->expected / line_size;
    write_lines(wanted, c, c->sent - (uint32_t)lines, lines, 'A');
    if (memcmp(c->reply, wanted, c->expected) != 0)
        fail("wrong answer on connection %zd", c - connections);
    return true;
}

static void await_reply(struct connection *c)
{
    struct pollfd one = {.fd = c->fd, .events = POLLIN};

    do {
        if (poll(&one, 1, STALL_MS) == 0)
            fail("no answer for %d ms", STALL_MS);
    } while (!receive(c));
}

/* ---- connections ------------------------------------------------------- */

static void connect_to_server(struct connection *c)
{
    int on = 1;

    c->fd = socket(AF_INET, socket_type, 0);
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

static struct connection *open_connection(bool idle)
{
    if (count == MAX_CONNECTIONS)
        fail("more than %d connections", MAX_CONNECTIONS);
    struct connection *c = &connections[count];

    *c = (struct connection){.idle = idle};
    if (!idle && !(c->reply = malloc(MAX_BATCH)))
        fail("out of memory");
    connect_to_server(c);
    count++;
    return c;
}

static void say_one_line(struct connection *c)
{
    static char shared_reply[MAX_BATCH];    /* enough while one is awaited at a time */
    char *own = c->reply;

    c->reply = own ? own : shared_reply;
    send_batch(c, 1);
    await_reply(c);
    c->reply = own;
}

/* Opens a few at a time and makes sure that they were accepted before it goes
 * on: an overflowing accept queue would cost a second for each lost SYN, and
 * servers of different backlogs could not be compared.  A connection that is
 * silent cannot tell; but when the probe has been answered twice since, a
 * whole turn of the server's loop has passed. */
static void open_connections(size_t wanted_count, bool idle, bool speak)
{
    for (size_t done = 0; done < wanted_count;) {
        struct connection *first = &connections[count];
        size_t n = wanted_count - done < OPEN_AT_ONCE ? wanted_count - done : OPEN_AT_ONCE;

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

static void dismiss_probe(void)
{
    close(connections[0].fd);
    connections[0].fd = -1;
}

static void drop_idle(void)
{
    while (count > 1 + active)
        close(connections[--count].fd);
}

static void check_silence(void)
{
    struct epoll_event event;

    if (epoll_wait(epoll_fd, &event, 1, 0) > 0)
        fail("connection %u was closed, or was told what it had not asked", event.data.u32);
}

/* ---- the measured phase ------------------------------------------------ */

static void run(size_t pipeline, double seconds)
{
    struct epoll_event events[1024];
    size_t running = active, requests = 0;
    double start = now(), end = start + seconds;

    if (active == 0)
        fail("no active connections");
    if (pipeline == 0 || pipeline * line_size > MAX_BATCH)
        fail("a batch has between one line and %d bytes", MAX_BATCH);
    for (size_t i = 1; i <= active; i++)
        send_batch(&connections[i], pipeline);
    while (running > 0) {
        int n = epoll_wait(epoll_fd, events, 1024, STALL_MS);
        if (n == 0)
            fail("no answer for %d ms, %zu connections are waiting", STALL_MS, running);
        bool go_on = now() < end;

        for (int i = 0; i < n; i++) {
            struct connection *c = &connections[events[i].data.u32];
            if (c->idle)
                fail("an idle connection was closed, or was told what it had not asked");
            if (!receive(c))
                continue;
            requests += pipeline;
            if (go_on)
                send_batch(c, pipeline);
            else
                running--;
        }
    }
    printf("{\"requests\": %zu, \"seconds\": %.6f}\n", requests, now() - start);
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
    send_batch(c, 1);
}

static void churn(size_t at_once, double seconds)
{
    struct epoll_event events[OPEN_AT_ONCE];
    size_t running = at_once, requests = 0;
    double start = now(), end = start + seconds;

    if (count != 1 || connections[0].fd != -1)
        fail("there are connections open");
    if (at_once == 0 || at_once > OPEN_AT_ONCE)
        fail("between one and %d at once", OPEN_AT_ONCE);
    for (size_t i = 1; i <= at_once; i++) {
        connections[i] = (struct connection){.reply = malloc(MAX_BATCH)};
        begin_anew(&connections[i]);
    }
    while (running > 0) {
        int n = epoll_wait(epoll_fd, events, OPEN_AT_ONCE, STALL_MS);
        if (n == 0)
            fail("no answer for %d ms, %zu connections are waiting", STALL_MS, running);

        for (int i = 0; i < n; i++) {
            struct connection *c = &connections[events[i].data.u32];
            if (c->received < c->expected) {
                if (!receive(c))
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
    for (size_t i = 1; i <= at_once; i++)
        free(connections[i].reply);
    printf("{\"requests\": %zu, \"seconds\": %.6f}\n", requests, now() - start);
}

static void obey(const char *command)
{
    size_t n;
    int speak;
    double seconds;

    if (sscanf(command, "active %zu", &n) == 1) {
        if (count != 1 + active)
            fail("active connections are opened before idle ones");
        open_connections(n, false, true);
        active += n;
        printf("{\"open\": %zu}\n", count);
    } else if (sscanf(command, "idle %zu %d", &n, &speak) == 2) {
        open_connections(n, true, speak);
        printf("{\"open\": %zu}\n", count);
    } else if (strcmp(command, "drop\n") == 0) {
        drop_idle();
        printf("{\"open\": %zu}\n", count);
    } else if (strcmp(command, "check\n") == 0) {
        check_silence();
        printf("{\"open\": %zu}\n", count);
    } else if (sscanf(command, "run %zu %lf", &n, &seconds) == 2) {
        run(n, seconds);
    } else if (strcmp(command, "dismiss\n") == 0) {
        dismiss_probe();
        printf("{\"open\": %zu}\n", count - 1);
    } else if (sscanf(command, "churn %zu %lf", &n, &seconds) == 2) {
        churn(n, seconds);
    } else {
        fail("not a command");
    }
}

int main(int argc, char **argv)
{
    char command[256];

    setvbuf(stdout, NULL, _IOLBF, 4096);
    if (argc != 4 && !(argc == 5 && strcmp(argv[4], "udp") == 0))
        fail("usage: client HOST PORT LINE_SIZE [udp]");
    if (argc == 5)
        socket_type = SOCK_DGRAM;
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
        fail("HOST is an IPv4 address");
    line_size = (size_t)atoi(argv[3]);
    if (line_size <= STAMP || line_size > MAX_BATCH)
        fail("a line has between %d and %d bytes", STAMP + 1, MAX_BATCH);
    epoll_fd = epoll_create1(0);

    say_one_line(open_connection(true));
    printf("{\"open\": 1}\n");
    while (fgets(command, sizeof command, stdin))
        obey(command);
    return 0;
}
