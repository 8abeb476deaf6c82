/* The sockets: opening, framing (RFC 6455, the client's side), closing. What frames say is for `messages.h`. */
#ifndef LINKS_H
#define LINKS_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

enum { INBOX = 16 << 20, READ_AT_ONCE = 256 << 10, OPENING_MAX = 64, SMALL_BUFFER = 16 << 10 };
enum state { CLOSED, CONNECTING, UPGRADING, JOINING, OPEN };

struct link {
    int fd;
    enum state state;
    bool stalled, writing;
    int opcode;
    uint32_t mask;
    struct bytes request, first, partial, out;
    uint64_t ping_at;
};

static struct link *links;
static uint32_t link_count, link_room, small_links, next_to_open;
static uint32_t opening, opened, failed, lost_links, fragments;
static struct bytes ping;
static int ping_opcode, poller;
static uint64_t ping_interval, opening_since, window_bytes;
static struct sockaddr_in address;
static uint8_t *inbox;
static char kept[512]; /* the first thing that somebody should hear of */

static void payload_arrived(struct link *l, int opcode, const uint8_t *payload, size_t length, uint64_t now);

/* Sending */

static void watch(struct link *l) {
    struct epoll_event event = {.events = (l->stalled ? 0 : EPOLLIN) | (l->writing ? EPOLLOUT : 0)};
    event.data.u32 = (uint32_t)(l - links);
    if (epoll_ctl(poller, EPOLL_CTL_MOD, l->fd, &event)) die("epoll_ctl");
}

static void drop(struct link *l) {
    if (l->state == OPEN) lost_links++;
    else failed++;
    if (l->state == CONNECTING || l->state == UPGRADING || l->state == JOINING) opening--;
    close(l->fd);
    l->fd = -1;
    l->state = CLOSED;
    l->partial.length = l->out.length = 0;
}

static bool flush_link(struct link *l) {
    size_t done = 0;
    while (done < l->out.length) {
        ssize_t n = send(l->fd, l->out.data + done, l->out.length - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) return false;
        done += (size_t)n;
    }
    memmove(l->out.data, l->out.data + done, l->out.length - done);
    l->out.length -= done;
    if (l->writing != (l->out.length > 0)) {
        l->writing = l->out.length > 0;
        watch(l);
    }
    return true;
}

static void send_frame(struct link *l, int opcode, const uint8_t *payload, size_t length) {
    uint8_t header[14] = {(uint8_t)(0x80 | opcode)};
    size_t size = 2;
    if (length < 126) header[1] = (uint8_t)(0x80 | length);
    else if (length < 65536) header[1] = 0x80 | 126, header[2] = (uint8_t)(length >> 8), header[3] = (uint8_t)length, size = 4;
    else errno = EMSGSIZE, die("frame");
    l->mask = l->mask * 1664525 + 1013904223; /* not predictable by a proxy is all that the mask is for: none is here */
    memcpy(header + size, &l->mask, 4);
    append(&l->out, header, size + 4);
    size_t at = l->out.length;
    append(&l->out, payload, length);
    for (size_t i = 0; i < length; i++) l->out.data[at + i] ^= header[size + (i & 3)];
    if (!l->writing && !flush_link(l)) drop(l);
}

/* Receiving */

static void joined(struct link *l) {
    l->state = OPEN;
    opening--;
    opened++;
    /* Spread over the interval, as people who come at different times are. */
    if (ping_interval) l->ping_at = now_us() + ping_interval * ((uint64_t)(l - links) % 997) / 997;
}

/* The complete frames at `data`; returns how many bytes they took. */
static size_t frames_arrived(struct link *l, const uint8_t *data, size_t length, uint64_t now) {
    size_t at = 0;
    while (length - at >= 2 && l->state != CLOSED) {
        const uint8_t *f = data + at;
        size_t header = 2, size = f[1] & 127;
        if (size == 126) header = 4;
        else if (size == 127) header = 10;
        if (length - at < header) break;
        if (header > 2) {
            size = 0;
            for (size_t i = 2; i < header; i++) size = size << 8 | f[i];
        }
        if (header + size > INBOX / 2) errno = EMSGSIZE, die("frame from the server");
        if (length - at < header + size) break;
        if (!(f[0] & 0x80) || !(f[0] & 15)) fragments++;
        payload_arrived(l, f[0] & 15, f + header, size, now);
        at += header + size;
    }
    return at;
}

static size_t upgraded(struct link *l, const uint8_t *data, size_t length) {
    const uint8_t *end = memmem(data, length, "\r\n\r\n", 4);
    if (!end) return 0;
    if (length < 12 || memcmp(data, "HTTP/1.1 101", 12)) {
        snprintf(kept, sizeof kept, "%.*s", (int)(length < 40 ? length : 40), (const char *)data);
        kept[strcspn(kept, "\r\n\"")] = 0;
        drop(l);
        return length;
    }
    l->state = JOINING;
    if (l->first.length) send_frame(l, l->opcode, l->first.data, l->first.length);
    return (size_t)(end - data) + 4;
}

static void readable(struct link *l) {
    size_t held = l->partial.length;
    if (held) memcpy(inbox, l->partial.data, held);
    ssize_t n = recv(l->fd, inbox + held, READ_AT_ONCE, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        drop(l);
        return;
    }
    window_bytes += (uint64_t)n;
    size_t length = held + (size_t)n, used = 0;
    if (l->state == UPGRADING) used = upgraded(l, inbox, length);
    if (l->state >= JOINING) used += frames_arrived(l, inbox + used, length - used, now_us());
    if (l->state == CLOSED) return;
    l->partial.length = 0;
    append(&l->partial, inbox + used, length - used);
}

static void writable(struct link *l) {
    if (l->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            snprintf(kept, sizeof kept, "connect: %s", strerror(error));
            drop(l);
            return;
        }
        l->state = UPGRADING;
        append(&l->out, l->request.data, l->request.length);
    }
    if (!flush_link(l)) drop(l);
}

/* Opening and keeping open */

static void open_more(void) {
    while (opening < OPENING_MAX && next_to_open < link_count) {
        struct link *l = &links[next_to_open++];
        l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (l->fd < 0) die("socket (the limit of open files?)");
        int one = 1;
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        /* Those who will stop reading have little room in the kernel, so that the server feels it soon. */
        int room = SMALL_BUFFER;
        if (next_to_open > link_count - small_links) setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        if (connect(l->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
        l->state = CONNECTING;
        l->writing = true;
        opening++;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.u32 = (uint32_t)(l - links)};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, l->fd, &event)) die("epoll_ctl");
    }
    if (opened + failed == link_count && opening_since) {
        say("{\"event\":\"ready\",\"opened\":%u,\"failed\":%u,\"seconds\":%.3f,\"note\":\"%s\"}", opened, failed,
            (double)(now_us() - opening_since) / 1e6, kept);
        opening_since = 0;
    }
}

static uint64_t send_pings(uint64_t now) {
    static uint64_t next;
    if (!ping_interval || now < next) return ping_interval ? next : UINT64_MAX;
    next = now + 10000;
    for (uint32_t i = 0; i < link_count; i++) {
        struct link *l = &links[i];
        if (l->state != OPEN || l->ping_at > now) continue;
        l->ping_at = now + ping_interval;
        send_frame(l, ping_opcode, ping.data, ping.length);
    }
    return next;
}

#endif
