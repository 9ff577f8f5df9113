/* What the files of the client share; the comment in main.c explains the whole. */

#ifndef LOAD_H
#define LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

enum {
    MAX_CONNECTIONS = 65536,
    MAX_LINE = 1 << 20,
    MAX_AWAITED = 4 << 20,  /* bytes asked for on one connection, and not yet answered */
    OPEN_AT_ONCE = 4,       /* below socketserver's listen backlog of 5 */
    STALL_MS = 10000,       /* a server that is silent for so long has failed */
};

/* What is said on a connection is a function of its number and of the place in
 * its stream, so three counters say all there is to know. */
struct connection {
    int fd;
    bool idle;
    bool congested;         /* the kernel has refused bytes: we wait until it takes more */
    uint64_t asked;         /* bytes of the lines that were asked so far: whole lines */
    uint64_t sent;          /* and how many of them the kernel has taken */
    uint64_t received;      /* and how many have been answered */
    uint64_t begun;         /* what had been asked when the phase began */
};

extern struct sockaddr_in server;
extern bool datagrams;      /* a line is a datagram */
extern bool echo;           /* the right answer is the line as it is, not in upper case */
extern size_t line_size;
extern int epoll_fd;

/* 0 is the probe, then the active connections, then the idle ones. */
extern struct connection connections[MAX_CONNECTIONS];
extern size_t count, active;

/* basics.c */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
double now(void);

/* lines.c */
void prepare_lines(void);
void ask(struct connection *c, size_t lines);
void send_owed(struct connection *c);
size_t receive(struct connection *c);
void say_one_line(struct connection *c);

/* connections.c */
void connect_to_server(struct connection *c);
struct connection *open_connection(bool idle);
void open_connections(size_t wanted, bool idle, bool speak, size_t at_once);
void dismiss_probe(void);
void drop_idle(void);
void check_silence(void);

/* phases.c */
void run(size_t pipeline, bool rolling, double seconds);
void laps(size_t wanted);
void churn(size_t at_once, double seconds);

/* offer.c */
void offer(double rate, double seconds);

#endif
