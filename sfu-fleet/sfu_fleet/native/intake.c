/* What comes in on the worker's port: many datagrams for one system call (recvmmsg), SRTP and SRTCP of known addresses
 * decrypted before Python sees them, and transport-wide feedback taken in without Python: a viewer sends 20 a second.
 *
 * Everything here runs on the event loop's thread, so nothing needs a lock. An address is known when ICE has proved that
 * it is a session's (RFC 8445); what comes from others is handed on as it is. Decryption is by function pointers, as in
 * plane.c: libsrtp's srtp_unprotect, and for RTCP whatever the peer's keys are for.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "congestion.h"

enum {
    BATCH = 64,
    SLOT = 2048,        /* longer datagrams are cut by the kernel, and then refused */
    MAX_PACKET = 1900,  /* as in dtls.py */
    BUCKETS = 4096,
    BATCHES_AT_ONCE = 4, /* of nothing but feedback, before Python has its turn */
};

typedef int (*unprotect_function)(void *context, void *packet, int *length);

/* FED: it was feedback, of which nothing need be told; ESTIMATED: it was, and something should. */
enum outcome { RAW, RTP, RTCP, REFUSED, TOO_LONG, FED, ESTIMATED };

/* What became of a datagram: it lies in its slot of the arena as it came (RAW), or decrypted. `peer` is -1 where the
 * address is not known. */
struct result {
    int32_t slot, size, peer, outcome;
};

/* What was read at once: datagrams, those that were feedback and need no more, results that Python is to look at, and
 * whether there may be more to read. */
struct reading {
    int32_t datagrams, fed, results, more;
};

struct known {
    struct known *next;
    uint8_t key[24];
    int peer;
};

struct peer {
    void *context; /* of libsrtp; NULL: nothing is agreed yet */
    void *rtcp_context;
    unprotect_function unprotect_rtcp;
    struct congestion *congestion; /* NULL: its feedback is Python's */
    const struct departures *departures;
};

struct intake {
    unprotect_function unprotect;
    struct known *buckets[BUCKETS];
    struct peer *peers; /* by number */
    int peer_count;
    struct reading reading;
    struct result results[BATCH];
    struct sockaddr_storage addresses[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    uint8_t *arena;
};

/* Family, port, address and scope: what two sockaddr of one sender have in common. */
static int key_of(const struct sockaddr *address, size_t size, uint8_t key[24]) {
    memset(key, 0, 24);
    if (size < sizeof address->sa_family) return -1;
    if (address->sa_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *v4 = (const void *)address;
        key[0] = 4;
        memcpy(key + 2, &v4->sin_port, 2);
        memcpy(key + 4, &v4->sin_addr, 4);
        return 0;
    }
    if (address->sa_family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *v6 = (const void *)address;
        key[0] = 6;
        memcpy(key + 2, &v6->sin6_port, 2);
        memcpy(key + 4, &v6->sin6_addr, 16);
        memcpy(key + 20, &v6->sin6_scope_id, 4);
        return 0;
    }
    return -1;
}

static struct known **place_of(struct intake *intake, const uint8_t key[24]) {
    /* FNV-1a, eight bytes at a time. */
    uint64_t hash = 14695981039346656037u, word;
    for (int i = 0; i < 24; i += 8) {
        memcpy(&word, key + i, sizeof word);
        hash = (hash ^ word) * 1099511628211u;
    }
    hash ^= hash >> 32;
    struct known **link = &intake->buckets[(hash ^ hash >> 16) & (BUCKETS - 1)];
    while (*link && memcmp((*link)->key, key, 24)) link = &(*link)->next;
    return link;
}

struct intake *intake_open(void *unprotect) {
    struct intake *intake = calloc(1, sizeof *intake);
    if (!intake) return NULL;
    intake->unprotect = (unprotect_function)unprotect;
    intake->arena = malloc((size_t)BATCH * SLOT);
    if (!intake->arena) {
        free(intake);
        return NULL;
    }
    for (int i = 0; i < BATCH; i++) intake->vectors[i] = (struct iovec){intake->arena + (size_t)i * SLOT, SLOT};
    return intake;
}

void intake_close(struct intake *intake) {
    for (int i = 0; i < BUCKETS; i++) {
        while (intake->buckets[i]) {
            struct known *known = intake->buckets[i];
            intake->buckets[i] = known->next;
            free(known);
        }
    }
    free(intake->peers);
    free(intake->arena);
    free(intake);
}

/* From now on this address is that peer's; numbers are small and not negative. 0, or -1. */
int intake_learn(struct intake *intake, const void *address, int size, int peer) {
    uint8_t key[24];
    if (peer < 0 || size < 0 || key_of(address, (size_t)size, key)) return -1;
    struct known **link = place_of(intake, key);
    if (!*link) {
        *link = calloc(1, sizeof **link);
        if (!*link) return -1;
        memcpy((*link)->key, key, sizeof key);
    }
    (*link)->peer = peer;
    return 0;
}

void intake_forget(struct intake *intake, const void *address, int size) {
    uint8_t key[24];
    if (size < 0 || key_of(address, (size_t)size, key)) return;
    struct known **link = place_of(intake, key);
    if (!*link) return;
    struct known *gone = *link;
    *link = gone->next;
    free(gone);
}

static struct peer *peer_at(struct intake *intake, int peer) {
    if (peer < 0) return NULL;
    if (peer >= intake->peer_count) {
        int count = intake->peer_count ? intake->peer_count : 64;
        while (count <= peer) count *= 2;
        struct peer *grown = realloc(intake->peers, (size_t)count * sizeof *grown);
        if (!grown) return NULL;
        memset(grown + intake->peer_count, 0, (size_t)(count - intake->peer_count) * sizeof *grown);
        intake->peers = grown;
        intake->peer_count = count;
    }
    return &intake->peers[peer];
}

/* Packets of this peer are decrypted with that libsrtp session, and RTCP by a function with a context of its own; all
 * must live until this is called with NULL. */
int intake_agree(struct intake *intake, int peer, void *context, void *rtcp_context, void *unprotect_rtcp) {
    struct peer *found = peer_at(intake, peer);
    if (!found) return -1;
    found->context = context;
    found->rtcp_context = rtcp_context;
    found->unprotect_rtcp = (unprotect_function)unprotect_rtcp;
    return 0;
}

/* Feedback of this peer goes there, until this is called with NULL. */
int intake_follow(struct intake *intake, int peer, struct congestion *congestion, const struct departures *departures) {
    struct peer *found = peer_at(intake, peer);
    if (!found) return -1;
    found->congestion = congestion;
    found->departures = departures;
    return 0;
}

/* Whether an RTCP compound is nothing but one packet of transport-wide feedback. */
static int is_feedback(const uint8_t *data, int size) {
    return size >= 4 && (data[0] & 0x1F) == 15 && data[1] == 205 && (data[2] << 8 | data[3]) * 4 + 4 == size;
}

static enum outcome feed(struct peer *peer, const uint8_t *data, int size) {
    struct timespec clock;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    int64_t now_us = (int64_t)clock.tv_sec * 1000000 + clock.tv_nsec / 1000;
    double bitrate = congestion_feed(peer->congestion, peer->departures, data, size, now_us);
    return bitrate > 0.0 && congestion_due(peer->congestion, now_us) ? ESTIMATED : FED;
}

/* RFC 7983: SRTP and SRTCP begin with 128 to 191; RFC 5761, section 4: RTCP has packet types 192 to 223. */
static enum outcome open_packet(struct intake *intake, uint8_t *data, struct result *result) {
    if (result->peer < 0 || result->peer >= intake->peer_count) return RAW;
    if (result->size < 2 || data[0] < 128 || data[0] > 191) return RAW;
    struct peer *peer = &intake->peers[result->peer];
    if (!peer->context) return RAW;
    if (result->size > MAX_PACKET) return TOO_LONG;
    int rtcp = data[1] >= 192 && data[1] <= 223, size = result->size;
    if (rtcp ? peer->unprotect_rtcp(peer->rtcp_context, data, &size) : intake->unprotect(peer->context, data, &size))
        return REFUSED;
    result->size = size;
    if (!rtcp) return RTP;
    return peer->congestion && is_feedback(data, size) ? feed(peer, data, size) : RTCP;
}

/* What became of the datagram in a slot. */
static void take(struct intake *intake, int slot) {
    const struct msghdr *header = &intake->messages[slot].msg_hdr;
    struct result result = {slot, (int32_t)intake->messages[slot].msg_len, -1, TOO_LONG};
    uint8_t key[24];
    if (!(header->msg_flags & MSG_TRUNC)) {
        if (!key_of(header->msg_name, header->msg_namelen, key)) {
            const struct known *known = *place_of(intake, key);
            if (known) result.peer = known->peer;
        }
        result.outcome = open_packet(intake, header->msg_iov->iov_base, &result);
    }
    if (result.outcome == FED)
        intake->reading.fed++;
    else
        intake->results[intake->reading.results++] = result;
}

static int read_batch(struct intake *intake, int fd) {
    for (int i = 0; i < BATCH; i++) {
        intake->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &intake->addresses[i],
            .msg_namelen = sizeof intake->addresses[i],
            .msg_iov = &intake->vectors[i],
            .msg_iovlen = 1,
        };
    }
    int count = recvmmsg(fd, intake->messages, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) take(intake, i);
    intake->reading.datagrams += count;
    intake->reading.more = count == BATCH;
    return count;
}

/* Takes what has arrived, without waiting, up to the first batch that Python is to look at: how much that was is in
 * `intake_reading`, and results, addresses and bytes stay until the next call. 0, or -errno. */
int intake_read(struct intake *intake, int fd) {
    intake->reading = (struct reading){0};
    for (int batches = 0; batches < BATCHES_AT_ONCE; batches++) {
        int count = read_batch(intake, fd);
        if (count < 0) return count;
        if (intake->reading.results || !intake->reading.more) break;
    }
    return 0;
}

const struct reading *intake_reading(const struct intake *intake) { return &intake->reading; }

const struct result *intake_results(const struct intake *intake) { return intake->results; }

const void *intake_addresses(const struct intake *intake) { return intake->addresses; }

const uint8_t *intake_arena(const struct intake *intake) { return intake->arena; }
