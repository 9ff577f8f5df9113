/* The limit: the least that a server of one thread can do on this kernel.
 *
 * usage: limit lines|echo|datagrams
 *
 * One epoll_wait for all that is ready, one recv and one send for each of them,
 * and no more than a correct server needs: lines may come in pieces, and what
 * the kernel refuses is kept and sent when it has room.  No limits, no
 * deadlines, no closing with care.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, EVENTS = 512, BACKLOG = 512 };

struct peer {
    int fd;
    char *kept;         /* the beginning of a line, or else what is owed */
    size_t size;
    bool owes;
};

static char buffer[BUFFER];
static bool by_line;
static int epoll_fd;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* The bytes may be the end of what is kept already. */
static void keep(struct peer *peer, const char *bytes, size_t size)
{
    if (size > peer->size) {
        peer->kept = realloc(peer->kept, size);
        if (peer->kept == NULL)
            die("realloc");
    }
    memmove(peer->kept, bytes, size);
    peer->size = size;
}

static void watch(struct peer *peer, int operation)
{
    struct epoll_event event = {.events = peer->owes ? EPOLLOUT : EPOLLIN, .data.ptr = peer};

    if (epoll_ctl(epoll_fd, operation, peer->fd, &event) < 0)
        die("epoll_ctl");
}

static void end(struct peer *peer)
{
    close(peer->fd);
    free(peer->kept);
    free(peer);
}

static void shout(char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(bytes[i] - (bytes[i] >= 'a' && bytes[i] <= 'z') * ('a' - 'A'));
}

/* Sends; what the kernel refuses is owed, and nothing is read before it is gone.
 * So a peer keeps one thing at a time: the beginning of a line, or what is owed. */
static bool answer(struct peer *peer, const char *bytes, size_t size)
{
    ssize_t sent = send(peer->fd, bytes, size, MSG_NOSIGNAL);

    if (sent < 0 && errno != EAGAIN)
        return false;
    if (sent < 0)
        sent = 0;
    if ((size_t)sent < size)
        keep(peer, bytes + sent, size - (size_t)sent);
    else
        peer->size = 0;
    bool owed = (size_t)sent < size;
    if (owed != peer->owes) {
        peer->owes = owed;
        watch(peer, EPOLL_CTL_MOD);
    }
    return true;
}

/* The peer sends no new line before it has the whole answer, so no line has
 * begun while something is owed. */
static bool take(struct peer *peer)
{
    size_t kept = peer->size;

    if (kept > 0)
        memcpy(buffer, peer->kept, kept);
    ssize_t n = recv(peer->fd, buffer + kept, BUFFER - kept, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;

    size_t size = kept + (size_t)n;
    if (!by_line)
        return answer(peer, buffer, size);
    char *last = memrchr(buffer + kept, '\n', (size_t)n);
    size_t whole = last ? (size_t)(last + 1 - buffer) : 0;
    if (whole == 0) {
        if (size == BUFFER)
            return false;
        keep(peer, buffer, size);
        return true;
    }
    shout(buffer, whole);
    if (!answer(peer, buffer, whole))
        return false;
    if (whole < size) {
        if (peer->owes)
            return false;
        keep(peer, buffer + whole, size - whole);
    }
    return true;
}

static void accept_all(int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct peer *peer = calloc(1, sizeof *peer);
        if (peer == NULL)
            die("calloc");
        peer->fd = fd;
        watch(peer, EPOLL_CTL_ADD);
    }
}

static void serve_streams(int listener)
{
    struct epoll_event events[EVENTS];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

    if (listen(listener, BACKLOG) < 0 || (epoll_fd = epoll_create1(0)) < 0)
        die("listen");
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer == NULL)
                accept_all(listener);
            else if (!(peer->owes ? answer(peer, peer->kept, peer->size) : take(peer)))
                end(peer);
        }
    }
}

static void serve_datagrams(int fd)
{
    for (;;) {
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(fd, buffer, BUFFER, 0, (struct sockaddr *)&from, &size);
        if (n < 0)
            continue;
        shout(buffer, (size_t)n);
        sendto(fd, buffer, (size_t)n, 0, (struct sockaddr *)&from, size);
    }
}

int main(int argc, char **argv)
{
    const char *job = argc == 2 ? argv[1] : "";
    bool datagrams = strcmp(job, "datagrams") == 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    by_line = strcmp(job, "lines") == 0;
    if (!datagrams && !by_line && strcmp(job, "echo") != 0) {
        fprintf(stderr, "usage: limit lines|echo|datagrams\n");
        return 2;
    }
    int fd = socket(AF_INET, datagrams ? SOCK_DGRAM : SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0)
        die("bind");
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    if (datagrams)
        serve_datagrams(fd);
    else
        serve_streams(fd);
}
