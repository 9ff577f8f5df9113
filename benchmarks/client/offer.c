/* An offered load: so many lines a second, whether the server keeps up or not.
 *
 * A line's latency counts from the moment it was due, not from the one it could
 * be sent: a server that stalls has then made everybody wait who would have
 * come meanwhile.  We never sleep, for waking up takes longer than an answer. */

#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <string.h>

enum {
    FINE_BITS = 5,          /* 32 steps for each doubling: 3 % of the latency */
    BUCKETS = 64 << FINE_BITS,
    MOST_EVENTS = 256,
};

static uint64_t histogram[BUCKETS];

static size_t bucket(uint64_t nanoseconds)
{
    int shift = 63 - __builtin_clzll(nanoseconds | 1) - FINE_BITS;

    if (shift < 0)
        shift = 0;
    return ((size_t)shift << FINE_BITS) + (size_t)(nanoseconds >> shift);
}

/* The longest latency that falls into a bucket. */
static uint64_t upper_end(size_t index)
{
    size_t shift = index >> FINE_BITS;

    if (shift > 0)
        shift--;
    return (((uint64_t)index - ((uint64_t)shift << FINE_BITS) + 1) << shift) - 1;
}

static void print_answer(size_t requests, double seconds)
{
    const char *comma = "";

    printf("{\"requests\": %zu, \"seconds\": %.6f, \"latencies\": [", requests, seconds);
    for (size_t i = 0; i < BUCKETS; i++) {
        if (histogram[i] > 0) {
            printf("%s[%llu, %llu]", comma, (unsigned long long)upper_end(i),
                   (unsigned long long)histogram[i]);
            comma = ", ";
        }
    }
    printf("]}\n");
}

void offer(double rate, double seconds)
{
    struct epoll_event events[MOST_EVENTS];
    size_t wanted = (size_t)(rate * seconds), asked = 0, answered = 0;
    double start = now(), progress = start;

    if (active == 0 || wanted == 0)
        fail("no active connections, or nothing to ask");
    memset(histogram, 0, sizeof histogram);
    for (size_t i = 1; i <= active; i++)
        connections[i].begun = connections[i].asked;
    while (answered < wanted) {
        for (double time = now(); asked < wanted && start + (double)asked / rate <= time; asked++)
            ask(&connections[1 + asked % active], 1);

        int n = epoll_wait(epoll_fd, events, MOST_EVENTS, 0);
        double time = now();
        if (n > 0)
            progress = time;
        else if (time - progress > STALL_MS / 1e3)
            fail("no answer for %d ms", STALL_MS);

        for (int i = 0; i < n; i++) {
            struct connection *c = &connections[events[i].data.u32];
            if (c->idle)
                fail("an idle connection was closed, or was told what it had not asked");
            if (events[i].events & EPOLLOUT)
                send_owed(c);
            if (!(events[i].events & ~(uint32_t)EPOLLOUT))
                continue;

            size_t first = (c->received - c->begun) / line_size, lines = receive(c);
            for (size_t k = first; k < first + lines; k++) {
                double due = start + (double)(k * active + (size_t)(c - connections) - 1) / rate;
                histogram[bucket((uint64_t)((now() - due) * 1e9))]++;
            }
            answered += lines;
        }
    }
    print_answer(answered, now() - start);
}
