/* What the benchmark needs C for: sinks that keep up with a whole core of packets, and the machine's own bound. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { BATCH = 64, SIZE = 2048 };

struct sinks {
    int epoll, core;
    volatile int stopping;
    pthread_t thread;
    uint64_t packets, bytes, others;
};

static void pin(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void *drain(void *argument) {
    struct sinks *sinks = argument;
    static __thread uint8_t buffers[BATCH][SIZE];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    struct epoll_event events[256];
    pin(sinks->core);
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){buffers[i], SIZE};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
    }
    /* Looks by itself every so often instead of being woken: over loopback the sender would pay for each wake-up, which
     * between machines nobody does for it. */
    const struct timespec pause = {0, 500000};
    while (!sinks->stopping) {
        int ready = epoll_wait(sinks->epoll, events, 256, 0);
        if (!ready) nanosleep(&pause, NULL);
        for (int e = 0; e < ready; e++) {
            int got;
            while ((got = recvmmsg(events[e].data.fd, messages, BATCH, MSG_DONTWAIT, NULL)) > 0) {
                for (int i = 0; i < got; i++) {
                    uint8_t kind = buffers[i][1];
                    /* RTP, not RTCP (RFC 5761, section 4), STUN or DTLS (RFC 7983). */
                    if (buffers[i][0] >= 128 && buffers[i][0] < 192 && !(kind >= 192 && kind < 224)) {
                        sinks->packets++;
                        sinks->bytes += messages[i].msg_len;
                    } else {
                        sinks->others++;
                    }
                }
                if (got < BATCH) break;
            }
        }
    }
    return NULL;
}

struct sinks *sinks_open(int core) {
    struct sinks *sinks = calloc(1, sizeof *sinks);
    sinks->epoll = epoll_create1(0);
    sinks->core = core;
    pthread_create(&sinks->thread, NULL, drain, sinks);
    return sinks;
}

int sinks_add(struct sinks *sinks, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(sinks->epoll, EPOLL_CTL_ADD, fd, &event);
}

uint64_t sinks_packets(struct sinks *sinks) { return __atomic_load_n(&sinks->packets, __ATOMIC_RELAXED); }

void sinks_close(struct sinks *sinks) {
    sinks->stopping = 1;
    pthread_join(sinks->thread, NULL);
    free(sinks);
}

struct bound {
    int fd, core, viewers, trains, gso;
    int *packets, *sizes;
    int (*protect)(void *, void *, int *);
    void **contexts;
    struct sockaddr_in *addresses;
    double seconds, cpu_seconds;
    uint64_t sent, failed;
};

/* What is collected for one sendmmsg. A train is at most BATCH packets (UDP_MAX_SEGMENTS of Linux is 64 or more). */
struct batch {
    int messages, packets;
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    union { char bytes[CMSG_SPACE(2)]; struct cmsghdr align; } controls[BATCH];
    uint8_t arena[BATCH][SIZE];
};

static double clock_s(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void flush(struct bound *bound, struct batch *batch) {
    for (int done = 0; done < batch->messages;) {
        int sent = sendmmsg(bound->fd, batch->headers + done, (unsigned)(batch->messages - done), 0);
        if (sent > 0) {
            for (int i = 0; i < sent; i++) bound->sent += batch->headers[done + i].msg_hdr.msg_iovlen;
            done += sent;
        } else if (errno == EAGAIN) {
            struct pollfd writable = {bound->fd, POLLOUT, 0};
            poll(&writable, 1, 20);
        } else {
            bound->failed++;
            done++;
        }
    }
    batch->messages = batch->packets = 0;
}

/* Encrypts a run of packets for one viewer and adds them, as one train or one by one. */
static void add(struct bound *bound, struct batch *batch, int viewer, int packets, int size, uint16_t sequence) {
    if (batch->packets + packets > BATCH) flush(bound, batch);
    for (int p = 0; p < packets; p++) {
        uint8_t *packet = batch->arena[batch->packets];
        memset(packet, 0x80, (size_t)size);
        packet[1] = 96;
        uint16_t number = htons((uint16_t)(sequence + p));
        memcpy(packet + 2, &number, 2);
        int length = size;
        if (bound->protect(bound->contexts[viewer], packet, &length)) bound->failed++;
        struct iovec *vector = &batch->vectors[batch->packets++];
        *vector = (struct iovec){packet, (size_t)length};
        if (bound->gso && p > 0) {
            batch->headers[batch->messages - 1].msg_hdr.msg_iovlen++;
            continue;
        }
        struct msghdr *header = &batch->headers[batch->messages].msg_hdr;
        *header = (struct msghdr){.msg_name = &bound->addresses[viewer], .msg_namelen = sizeof bound->addresses[viewer],
                                  .msg_iov = vector, .msg_iovlen = 1};
        if (bound->gso && packets > 1) {
            header->msg_control = batch->controls[batch->messages].bytes;
            header->msg_controllen = sizeof batch->controls[batch->messages].bytes;
            struct cmsghdr *control = CMSG_FIRSTHDR(header);
            control->cmsg_level = IPPROTO_UDP;
            control->cmsg_type = UDP_SEGMENT;
            control->cmsg_len = CMSG_LEN(2);
            uint16_t segment = (uint16_t)length;
            memcpy(CMSG_DATA(control), &segment, 2);
        }
        batch->messages++;
    }
}

/* Sends each train in turn to all viewers, over and over: no more than anybody must do. */
static void *send_all(void *argument) {
    struct bound *bound = argument;
    pin(bound->core);
    struct batch *batch = calloc(1, sizeof *batch);
    double end = clock_s(CLOCK_MONOTONIC) + bound->seconds, began = clock_s(CLOCK_THREAD_CPUTIME_ID);
    uint16_t sequence = 0;
    for (int t = 0; clock_s(CLOCK_MONOTONIC) < end; t = (t + 1) % bound->trains) {
        for (int v = 0; v < bound->viewers; v++)
            add(bound, batch, v, bound->packets[t], bound->sizes[t], sequence);
        flush(bound, batch);
        sequence = (uint16_t)(sequence + bound->packets[t]);
    }
    bound->cpu_seconds = clock_s(CLOCK_THREAD_CPUTIME_ID) - began;
    free(batch);
    return NULL;
}

void bound_run(struct bound *bound) {
    pthread_t thread;
    pthread_create(&thread, NULL, send_all, bound);
    pthread_join(thread, NULL);
}
