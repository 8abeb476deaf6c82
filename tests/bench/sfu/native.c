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
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { BATCH = 64, SIZE = 2048, TOLD = 128, FEEDBACK_EVERY_US = 50000 };

/* One viewer. With `context`, it tells when packets arrived, as a browser does: transport-wide feedback every 50 ms
 * (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1). */
struct sink {
    struct sink *next;
    int fd, extension;
    void *context;
    int (*protect_rtcp)(void *, void *, int *);
    struct sockaddr_in target;
    int64_t told_us, arrivals[TOLD]; /* 0: has not arrived */
    uint16_t base;
    int span; /* numbers from `base` on that something is known of */
    uint8_t feedbacks;
};

struct sinks {
    int epoll, core;
    volatile int stopping;
    pthread_t thread;
    pthread_mutex_t lock; /* of every sink, held while some of them are read */
    struct sink *all;
    uint64_t packets, bytes, others, feedbacks;
};

static void pin(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The transport-wide number of a packet, which SRTP does not encrypt (RFC 8285, section 4.2); -1: it has none. */
static int transport_number(const uint8_t *packet, int size, int extension) {
    int at = 12 + 4 * (packet[0] & 15);
    if (!(packet[0] & 0x10) || at + 4 > size || packet[at] != 0xBE || packet[at + 1] != 0xDE) return -1;
    int end = at + 4 + 4 * (packet[at + 2] << 8 | packet[at + 3]);
    if (end > size) return -1;
    for (at += 4; at < end;) {
        int id = packet[at] >> 4, length = (packet[at] & 15) + 1;
        if (!packet[at]) {
            at++;
            continue;
        }
        if (id == extension && at + 3 <= end) return packet[at + 1] << 8 | packet[at + 2];
        at += 1 + length;
    }
    return -1;
}

static void put16(uint8_t *at, int value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void tell(struct sinks *sinks, struct sink *sink) {
    uint8_t packet[SIZE] = {0x8F, 205};
    int64_t first = 0;
    for (int i = 0; i < sink->span && !first; i++) first = sink->arrivals[i];
    int64_t reference = first / 64000, tick = reference * 256;
    int chunks = (sink->span + 6) / 7, at = 20 + 2 * chunks;
    packet[7] = 1;
    packet[11] = 1;
    put16(packet + 12, sink->base);
    put16(packet + 14, sink->span);
    packet[16] = (uint8_t)(reference >> 16);
    put16(packet + 17, (int)(reference & 0xFFFF));
    packet[19] = sink->feedbacks++;
    for (int c = 0; c < chunks; c++) {
        int chunk = 0xC000;
        for (int i = 0; i < 7 && c * 7 + i < sink->span; i++) {
            int64_t arrival = sink->arrivals[c * 7 + i];
            if (!arrival) continue;
            int64_t delta = arrival / 250 - tick;
            tick += delta;
            int small = delta >= 0 && delta < 256;
            chunk |= (small ? 1 : 2) << (12 - 2 * i);
            if (small) {
                packet[at++] = (uint8_t)delta;
            } else {
                put16(packet + at, (int)delta);
                at += 2;
            }
        }
        put16(packet + 20 + 2 * c, chunk);
    }
    while (at % 4) packet[at++] = 0;
    put16(packet + 2, at / 4 - 1);
    if (!sink->protect_rtcp(sink->context, packet, &at) &&
        sendto(sink->fd, packet, (size_t)at, MSG_DONTWAIT, (void *)&sink->target, sizeof sink->target) == at)
        sinks->feedbacks++;
    sink->base = (uint16_t)(sink->base + sink->span);
    sink->span = 0;
    memset(sink->arrivals, 0, sizeof sink->arrivals);
}

static void note(struct sinks *sinks, struct sink *sink, int number, int64_t at) {
    if (!sink->told_us) {
        sink->base = (uint16_t)number;
        sink->told_us = at;
    }
    int place = (int16_t)(number - sink->base);
    if (place >= TOLD && sink->span) {
        tell(sinks, sink);
        place = (int16_t)(number - sink->base);
    }
    if (place >= TOLD) {
        sink->base = (uint16_t)number;
        place = 0;
    }
    if (place < 0) return;
    sink->arrivals[place] = at;
    if (place >= sink->span) sink->span = place + 1;
}

static void take(struct sinks *sinks, struct sink *sink, struct mmsghdr *messages, uint8_t (*buffers)[SIZE]) {
    int got;
    while ((got = recvmmsg(sink->fd, messages, BATCH, MSG_DONTWAIT, NULL)) > 0) {
        int64_t at = sink->context ? now_us() : 0;
        for (int i = 0; i < got; i++) {
            uint8_t kind = buffers[i][1];
            /* RTP, not RTCP (RFC 5761, section 4), STUN or DTLS (RFC 7983). */
            if (buffers[i][0] < 128 || buffers[i][0] >= 192 || (kind >= 192 && kind < 224)) {
                sinks->others++;
                continue;
            }
            sinks->packets++;
            sinks->bytes += messages[i].msg_len;
            if (!sink->context) continue;
            int number = transport_number(buffers[i], (int)messages[i].msg_len, sink->extension);
            if (number >= 0) note(sinks, sink, number, at);
        }
        if (sink->context && sink->span && at - sink->told_us >= FEEDBACK_EVERY_US) {
            tell(sinks, sink);
            sink->told_us = at;
        }
        if (got < BATCH) break;
    }
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
        pthread_mutex_lock(&sinks->lock);
        int ready = epoll_wait(sinks->epoll, events, 256, 0);
        for (int e = 0; e < ready; e++) take(sinks, events[e].data.ptr, messages, buffers);
        pthread_mutex_unlock(&sinks->lock);
        if (!ready) nanosleep(&pause, NULL);
    }
    return NULL;
}

struct sinks *sinks_open(int core) {
    struct sinks *sinks = calloc(1, sizeof *sinks);
    sinks->epoll = epoll_create1(0);
    sinks->core = core;
    pthread_mutex_init(&sinks->lock, NULL);
    pthread_create(&sinks->thread, NULL, drain, sinks);
    return sinks;
}

struct sink *sinks_add(struct sinks *sinks, int fd) {
    struct sink *sink = calloc(1, sizeof *sink);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = sink};
    sink->fd = fd;
    pthread_mutex_lock(&sinks->lock);
    sink->next = sinks->all;
    sinks->all = sink;
    epoll_ctl(sinks->epoll, EPOLL_CTL_ADD, fd, &event);
    pthread_mutex_unlock(&sinks->lock);
    return sink;
}

/* From now on the viewer tells `target` (a sockaddr_in) of the numbers in that header extension. */
void sinks_feed_back(struct sinks *sinks, struct sink *sink, int extension, void *context, void *protect_rtcp,
                     const void *target) {
    pthread_mutex_lock(&sinks->lock);
    sink->extension = extension;
    sink->protect_rtcp = (int (*)(void *, void *, int *))protect_rtcp;
    memcpy(&sink->target, target, sizeof sink->target);
    sink->context = context;
    pthread_mutex_unlock(&sinks->lock);
}

void sinks_drop(struct sinks *sinks, struct sink *sink) {
    pthread_mutex_lock(&sinks->lock);
    epoll_ctl(sinks->epoll, EPOLL_CTL_DEL, sink->fd, NULL);
    for (struct sink **link = &sinks->all; *link; link = &(*link)->next) {
        if (*link == sink) {
            *link = sink->next;
            break;
        }
    }
    pthread_mutex_unlock(&sinks->lock);
    free(sink);
}

uint64_t sinks_feedbacks(struct sinks *sinks) { return __atomic_load_n(&sinks->feedbacks, __ATOMIC_RELAXED); }

uint64_t sinks_packets(struct sinks *sinks) { return __atomic_load_n(&sinks->packets, __ATOMIC_RELAXED); }

void sinks_close(struct sinks *sinks) {
    sinks->stopping = 1;
    pthread_join(sinks->thread, NULL);
    while (sinks->all) {
        struct sink *sink = sinks->all;
        sinks->all = sink->next;
        free(sink);
    }
    close(sinks->epoll);
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
