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
    int fd, core, viewers, packets, size, trains;
    int (*protect)(void *, void *, int *);
    void **contexts;
    struct sockaddr_in *addresses;
    double seconds, cpu_seconds;
    uint64_t sent, failed;
};

static double clock_s(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Encrypts `packets` packets for each viewer and sends them, over and over: no more than anybody must do. */
static void *send_all(void *argument) {
    struct bound *bound = argument;
    pin(bound->core);
    int per_call = bound->trains ? BATCH / bound->packets : BATCH;
    if (per_call < 1) per_call = 1;
    uint8_t *arena = malloc((size_t)(per_call + 1) * (size_t)(bound->packets + 1) * SIZE);
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH * 2];
    union { char bytes[CMSG_SPACE(2)]; struct cmsghdr align; } controls[BATCH];
    uint8_t body[SIZE];
    memset(body, 0x80, sizeof body);
    double end = clock_s(CLOCK_MONOTONIC) + bound->seconds, began = clock_s(CLOCK_THREAD_CPUTIME_ID);
    uint16_t sequence = 0;
    while (clock_s(CLOCK_MONOTONIC) < end) {
        int used = 0, count = 0;
        for (int v = 0; v < bound->viewers; v++) {
            for (int p = 0; p < bound->packets; p++) {
                uint8_t *packet = arena + (size_t)used * SIZE;
                memcpy(packet, body, (size_t)bound->size);
                packet[1] = 96;
                uint16_t number = htons((uint16_t)(sequence + p));
                memcpy(packet + 2, &number, 2);
                int length = bound->size;
                if (bound->protect(bound->contexts[v], packet, &length)) bound->failed++;
                vectors[used] = (struct iovec){packet, (size_t)length};
                if (!bound->trains || p == 0) {
                    struct mmsghdr *message = &messages[count++];
                    memset(message, 0, sizeof *message);
                    message->msg_hdr.msg_name = &bound->addresses[v];
                    message->msg_hdr.msg_namelen = sizeof bound->addresses[v];
                    message->msg_hdr.msg_iov = &vectors[used];
                    message->msg_hdr.msg_iovlen = 1;
                    if (bound->trains && bound->packets > 1) {
                        message->msg_hdr.msg_control = controls[count - 1].bytes;
                        message->msg_hdr.msg_controllen = sizeof controls[count - 1].bytes;
                        struct cmsghdr *control = CMSG_FIRSTHDR(&message->msg_hdr);
                        control->cmsg_level = IPPROTO_UDP;
                        control->cmsg_type = UDP_SEGMENT;
                        control->cmsg_len = CMSG_LEN(2);
                        uint16_t segment = (uint16_t)length;
                        memcpy(CMSG_DATA(control), &segment, 2);
                    }
                } else {
                    messages[count - 1].msg_hdr.msg_iovlen++;
                }
                used++;
                int whole = !bound->trains || p == bound->packets - 1;
                if (whole && (count >= per_call || (v == bound->viewers - 1 && p == bound->packets - 1))) {
                    for (int done = 0; done < count;) {
                        int sent = sendmmsg(bound->fd, messages + done, (unsigned)(count - done), 0);
                        if (sent > 0) {
                            for (int i = 0; i < sent; i++) bound->sent += messages[done + i].msg_hdr.msg_iovlen;
                            done += sent;
                        } else if (errno == EAGAIN) {
                            struct pollfd writable = {bound->fd, POLLOUT, 0};
                            poll(&writable, 1, 20);
                        } else {
                            bound->failed++;
                            done++;
                        }
                    }
                    used = count = 0;
                }
            }
        }
        sequence = (uint16_t)(sequence + bound->packets);
    }
    bound->cpu_seconds = clock_s(CLOCK_THREAD_CPUTIME_ID) - began;
    free(arena);
    return NULL;
}

void bound_run(struct bound *bound) {
    pthread_t thread;
    pthread_create(&thread, NULL, send_all, bound);
    pthread_join(thread, NULL);
}
