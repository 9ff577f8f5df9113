/* The load: many connections to one server, every answer checked.
 *
 * It is C so that it costs less than any server it drives: the server is then
 * the one that is always busy, and what is measured is the server.
 *
 * usage: client HOST PORT LINE_SIZE [udp] [echo]
 *
 * The right answer to a line is the line in upper case; with `echo`, the line.
 * With `udp` a line is a datagram, and a connection a socket that knows its peer.
 *
 * It is told what to do on standard input, one command a line, and answers
 * each with one line of JSON.  Between two commands it does nothing at all and
 * keeps its connections, so that the harness can read the server's CPU time,
 * memory and system calls around a steady phase:
 *
 *   active COUNT            open connections that the phases will use
 *   idle COUNT SPEAK [N]    open connections that stay idle, after one line
 *                           each if SPEAK is 1, silent from the start if 0;
 *                           N at a time (4) wait to be accepted
 *   speak                   a line on each idle connection, one after the other
 *   drop                    close the idle ones
 *   check                   is every connection still open and silent?
 *   run PIPELINE SECONDS    on each active connection: send PIPELINE lines at
 *                           once, wait for all the answers, repeat; in the end
 *                           wait for what is owed
 *   roll WINDOW SECONDS     on each: keep so many lines on their way
 *   laps COUNT              on each: so many lines, one at a time
 *   offer RATE SECONDS      so many lines a second on all together, in turns;
 *                           answers with a histogram of latencies too, a list
 *                           of (at most so many nanoseconds, how often)
 *   dismiss                 close the probe, the connection that is there from
 *                           the start: some servers have no more than one
 *   churn AT_ONCE SECONDS   with no connection open: connect, send a line, wait
 *                           for its answer, end our half, wait for the server to
 *                           end its own, close, repeat; so many at a time
 *   (end of input)          close everything and exit
 *
 * The first thing that is not as it should be is answered with
 * {"error": "..."} and exit status 1: figures of a wrong server are worthless.
 *
 * lines.c says what is sent and what has to come back, connections.c opens and
 * closes, phases.c and offer.c are the measured phases.
 */

#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say_how_many(void)
{
    printf("{\"open\": %zu}\n", count - (connections[0].fd < 0));
}

static void open_active(size_t wanted)
{
    if (count != 1 + active)
        fail("active connections are opened before idle ones");
    open_connections(wanted, false, true, OPEN_AT_ONCE);
    active += wanted;
}

static void obey(const char *command)
{
    size_t n, at_once = OPEN_AT_ONCE;
    int speak;
    double rate, seconds;

    if (sscanf(command, "run %zu %lf", &n, &seconds) == 2)
        run(n, false, seconds);
    else if (sscanf(command, "roll %zu %lf", &n, &seconds) == 2)
        run(n, true, seconds);
    else if (sscanf(command, "laps %zu", &n) == 1)
        laps(n);
    else if (sscanf(command, "offer %lf %lf", &rate, &seconds) == 2)
        offer(rate, seconds);
    else if (sscanf(command, "churn %zu %lf", &n, &seconds) == 2)
        churn(n, seconds);
    else {
        if (sscanf(command, "active %zu", &n) == 1)
            open_active(n);
        else if (sscanf(command, "idle %zu %d %zu", &n, &speak, &at_once) >= 2)
            open_connections(n, true, speak, at_once);
        else if (strcmp(command, "speak\n") == 0)
            for (size_t i = 1 + active; i < count; i++)
                say_one_line(&connections[i]);
        else if (strcmp(command, "drop\n") == 0)
            drop_idle();
        else if (strcmp(command, "check\n") == 0)
            check_silence();
        else if (strcmp(command, "dismiss\n") == 0)
            dismiss_probe();
        else
            fail("not a command");
        say_how_many();
    }
}

int main(int argc, char **argv)
{
    char command[256];

    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    if (argc < 4)
        fail("usage: client HOST PORT LINE_SIZE [udp] [echo]");
    for (int i = 4; i < argc; i++) {
        datagrams |= strcmp(argv[i], "udp") == 0;
        echo |= strcmp(argv[i], "echo") == 0;
    }
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
        fail("HOST is an IPv4 address");
    line_size = (size_t)atoi(argv[3]);
    prepare_lines();
    epoll_fd = epoll_create1(0);

    say_one_line(open_connection(true));
    say_how_many();
    while (fgets(command, sizeof command, stdin))
        obey(command);
    return 0;
}
