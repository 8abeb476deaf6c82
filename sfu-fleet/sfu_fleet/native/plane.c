/* The packet plane's own thread: packets of a lane, encrypted and sent to each of its viewers, without Python.
 *
 * A lane is one rewritten stream: all its viewers get the same bytes but for sequence number, timestamp and SSRC. Python
 * puts jobs into a queue; the thread alone touches lanes, viewers and SRTP contexts, so nothing of these needs a lock.
 * Packets that arrive within a window go out together: consecutive ones of equal size to one viewer are one datagram
 * train for the kernel (UDP_SEGMENT, Linux 4.18), and trains to different viewers one system call (sendmmsg). A few bytes
 * of RTP padding (RFC 3550, section 5.1) make packets of nearly equal size equal. A burst of a lane goes out in turns, so
 * that a keyframe to a thousand viewers holds up neither audio nor other rooms for longer than a turn.
 *
 * Where a viewer's transport has transport-wide numbers, each packet gets the next one as it is encrypted, and the log of
 * departures.h says when. One that is sent again as it was keeps its number: other bytes under the same SRTP index would
 * give an AES-GCM key away.
 *
 * Encryption is a function pointer of each viewer's context (gcm.c's, or libsrtp's srtp_protect), so this file needs the C
 * library and nothing else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "departures.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

enum {
    HISTORY = 4096,        /* packets of a lane that may be kept; a power of two */
    RESENDABLE = 1024,     /* of these, what may be asked for again: the replay window of SRTP (RFC 3711, section 3.3.2) */
    MAX_PACKET = 1900,     /* as in dtls.py: a whole Ethernet frame and libsrtp's longest trailer fit */
    SLOT = 2048,
    ARENA = 64 * SLOT,     /* bytes that wait to be sent: few enough to be in the cache still when the kernel copies them */
    CACHE_LINE = 64,
    MAX_MESSAGES = 128,    /* in one sendmmsg */
    MAX_SEGMENTS = 32,     /* of one train; the kernel's own limit is 64 */
    MAX_TRAIN = 60000,     /* bytes of one train: an IP packet has 65,535 */
    MAX_QUEUED = 8192,
    MAX_PENDING = 512,     /* packets of a lane that wait for their turn; a power of two, less than HISTORY */
    MAX_PADDING = 24,      /* what is added to a packet to make a train longer: a send costs as much as some 3 kB */
    TURN_PACKETS = 16,     /* of a lane, to each viewer; more when MAX_PENDING comes near */
    TURN_NS = 5000000,
    RESENDS_PER_SECOND = 400,
    PROBE_HISTORY = 16,    /* a probe sends the latest packets again, and these more than once if it must */
    PROBE_PACKETS = 32,    /* of one burst at most */
    SEND_PATIENCE_MS = 50,
    PACE_NS = 5000000,     /* how often those that catch up are looked after */
    CLOCK_RATE = 90000,    /* of all video (RFC 3551, section 5): nothing else is caught up with */
};

typedef int (*protect_function)(void *context, void *packet, int *length);

/* Read by Python while the thread writes: aligned words, each of which is either old or new. */
struct counters {
    uint64_t packets, octets, resent;
    uint32_t rtx_sequence; /* the number that was given last to what is sent again (RFC 4588) */
};

struct totals {
    uint64_t packets_out, bytes_out, packets_resent, send_failures, protect_failures, nack_unknown, nack_budget,
        queue_overflows, system_calls, trains, waits, batches, turns, padding_bytes, pending, packets_probed, processed;
};

struct viewer {
    void *srtp;
    protect_function protect;
    size_t srtp_size; /* of the context's memory, what encrypting reads */
    int fd; /* of the family of its address */
    struct sockaddr_storage address;
    socklen_t address_size;
    int64_t first, sequence_offset; /* the place in the track's timeline that it begins with, and what leads to its own */
    uint32_t ssrc, timestamp_offset;
    uint32_t rtx_ssrc; /* with rtx_type 0 there is no such stream: packets are sent again as they were */
    uint8_t rtx_type;
    uint16_t picture_shift, base_shift;
    struct counters *counters;
    struct departures *departures; /* of the viewer's transport; NULL: its packets have no transport-wide numbers */
    uint32_t *numbers;             /* of those that may be sent again as they were, by place in the history */
    int probe_debt;                /* bytes that a probe has asked for and not been given */
    int64_t resend_window_ms;
    int resend_budget;
    struct lane *lane;
    int index;
    int64_t next; /* what comes next out of the history, for a viewer that catches up; -1: it has what is sent now */
    int64_t began_ns;
    uint32_t since, until, speed; /* timestamps up to `until` are drawn together so much; 0: not at all */
    struct viewer *next_behind;
};

/* Where a packet has its picture numbers (picture_ids.py) and its transport-wide number, counted from its start; 0:
 * nowhere. */
struct marks {
    uint16_t picture_at, base_at, transport_at;
    uint8_t wide;
};

struct stored {
    int64_t sequence;
    uint32_t timestamp;
    uint16_t size, payload_size, capacity;
    uint8_t padding, waits; /* bytes at the end of the body; whether its first sending is still to come */
    struct marks marks;
    uint8_t *body;
};

struct lane {
    struct viewer **viewers;
    int count, capacity;
    int64_t highest;
    struct stored history[HISTORY];
    struct stored *pending[MAX_PENDING]; /* a ring */
    int pending_first, pending_count;
    int64_t next_turn_ns;
    int busy; /* whether it is in the list that `next_busy` makes */
    struct lane *next_busy;
};

enum kind { PACKET, STORE, ATTACH, BEGIN, DETACH, MOVE, RESEND, PROBE, DISCARD };

struct job {
    struct job *next;
    enum kind kind;
    struct lane *lane;
    struct viewer *viewer;
    int64_t sequence, offset;
    uint32_t timestamp;
    uint16_t size, payload_size;
    struct marks marks;
    int fd;
    struct sockaddr_storage address;
    socklen_t address_size;
    uint8_t data[];
};

/* Packets to one viewer behind each other in the arena: all as long as the first, but the last may be shorter. */
struct train {
    int packets;
    size_t segment, last;
};

struct plane {
    int fd, gso, padding, stopping, urgent, queued;
    int64_t window_ns, next_turn_ns; /* the latter 0 when nothing waits for its turn */
    int64_t next_pace_ns;            /* when those in `behind` are looked after */
    int64_t now_us;                  /* when what is being encrypted is taken to leave */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct job *head, **tail;
    int64_t deadline_ns;
    struct totals totals;
    struct lane *busy;
    struct viewer *behind;
    uint8_t *arena;
    size_t arena_used;
    struct mmsghdr messages[MAX_MESSAGES];
    struct iovec vectors[MAX_MESSAGES];
    struct train trains[MAX_MESSAGES];
    union {
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr align;
    } controls[MAX_MESSAGES];
    int message_count;
};

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void put16(uint8_t *at, uint16_t value) {
    value = htons(value);
    memcpy(at, &value, sizeof value);
}

static void put32(uint8_t *at, uint32_t value) {
    value = htonl(value);
    memcpy(at, &value, sizeof value);
}

/* -- sending ------------------------------------------------------------------------------------------------------ */

/* Without trains: where the kernel or the interface would not take one. */
static void send_one_by_one(struct plane *plane, int index) {
    struct msghdr single = plane->messages[index].msg_hdr;
    struct iovec part = plane->vectors[index];
    size_t left = part.iov_len, segment = plane->trains[index].segment;
    single.msg_control = NULL;
    single.msg_controllen = 0;
    single.msg_iov = &part;
    while (left) {
        part.iov_len = left < segment ? left : segment;
        plane->totals.system_calls++;
        if (sendmsg(plane->fd, &single, 0) < 0) plane->totals.send_failures++;
        left -= part.iov_len;
        part.iov_base = (uint8_t *)part.iov_base + part.iov_len;
    }
}

static void flush_messages(struct plane *plane) {
    int done = 0;
    int64_t give_up = 0;
    while (done < plane->message_count) {
        struct mmsghdr *next = &plane->messages[done];
        plane->totals.system_calls++;
        int sent = sendmmsg(plane->fd, next, (unsigned)(plane->message_count - done), 0);
        if (sent > 0) {
            done += sent;
            give_up = 0;
            continue;
        }
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
            /* The socket's buffer is full: a keyframe to a thousand viewers is more than it holds. Wait, but not long:
             * media that comes late is worth nothing. */
            int64_t now = now_ns();
            if (!give_up) give_up = now + (int64_t)SEND_PATIENCE_MS * 1000000;
            plane->totals.waits++;
            if (now < give_up) {
                if (errno == ENOBUFS) {
                    struct timespec pause = {0, 200000};
                    nanosleep(&pause, NULL);
                } else {
                    struct pollfd writable = {plane->fd, POLLOUT, 0};
                    poll(&writable, 1, SEND_PATIENCE_MS);
                }
                continue;
            }
            give_up = 0;
        } else if ((errno == EINVAL || errno == EIO || errno == EMSGSIZE || errno == ENOPROTOOPT) &&
                   next->msg_hdr.msg_controllen) {
            if (errno != EMSGSIZE) plane->gso = 0;
            send_one_by_one(plane, done);
            done++;
            continue;
        }
        plane->totals.send_failures += (uint64_t)plane->trains[done].packets;
        done++;
    }
    plane->message_count = 0;
    plane->arena_used = 0;
}

static void shift_pictures(uint8_t *packet, const struct marks *marks, const struct viewer *viewer) {
    if (marks->picture_at) {
        uint8_t *at = packet + marks->picture_at;
        if (marks->wide)
            put16(at, (uint16_t)(0x8000 | (((at[0] & 0x7F) << 8 | at[1]) + viewer->picture_shift)));
        else
            *at = (uint8_t)((*at + viewer->picture_shift) & 0x7F);
    }
    if (marks->base_at) packet[marks->base_at] = (uint8_t)(packet[marks->base_at] + viewer->base_shift);
}

/* Makes a packet one of the stream of retransmissions, behind its old number (RFC 4588, section 4); its new size. */
static int wrap(uint8_t *packet, const struct stored *stored, struct viewer *viewer) {
    size_t behind = (size_t)stored->payload_size + stored->padding;
    uint8_t *payload = packet + stored->size - behind;
    memmove(payload + 2, payload, behind);
    memcpy(payload, packet + 2, 2);
    packet[1] = (uint8_t)((packet[1] & 0x80) | viewer->rtx_type);
    put16(packet + 2, (uint16_t)++viewer->counters->rtx_sequence);
    put32(packet + 8, viewer->rtx_ssrc);
    return stored->size + 2;
}

/* A packet's timestamp for a viewer: the time that it catches up with is drawn together (haste.py). */
static uint32_t viewer_timestamp(const struct viewer *viewer, const struct stored *stored) {
    uint32_t timestamp = stored->timestamp;
    if (viewer->speed && stored->sequence - viewer->first < 2 * HISTORY) {
        int32_t before = (int32_t)(viewer->until - timestamp);
        if (before > 0) timestamp = viewer->until - (uint32_t)before / viewer->speed;
    }
    return timestamp + viewer->timestamp_offset;
}

/* The latest packet that the viewer can have been sent. */
static int64_t latest_sent(const struct viewer *viewer) {
    return viewer->next >= 0 ? viewer->next - 1 : viewer->lane->highest;
}

/* What the viewer's memory says of a packet's transport-wide number when it is the number's: which cycle of the memory
 * the packet is of, never 0, above the number. */
static uint32_t numbered(int64_t sequence, uint16_t number) {
    return ((uint32_t)(sequence / RESENDABLE) % 0xFFFF + 1) << 16 | number;
}

/* Whether a packet that is sent again as it was can have the number that it had. */
static int remembers(const struct viewer *viewer, const struct stored *stored) {
    if (!viewer->numbers || !stored->marks.transport_at) return 1;
    return viewer->numbers[stored->sequence & (RESENDABLE - 1)] >> 16 == numbered(stored->sequence, 0) >> 16;
}

/* Writes a packet's transport-wide number: a new one, unless it has one already and goes out as it was. */
static void write_number(struct plane *plane, struct viewer *viewer, const struct stored *stored, uint8_t *packet,
                         int length) {
    uint16_t number;
    uint32_t *known = viewer->numbers ? &viewer->numbers[stored->sequence & (RESENDABLE - 1)] : NULL;
    if (known && remembers(viewer, stored)) {
        number = (uint16_t)*known;
    } else {
        number = departures_add(viewer->departures, plane->now_us, (unsigned)length);
        if (known) *known = numbered(stored->sequence, number);
    }
    put16(packet + stored->marks.transport_at, number);
}

/* Puts the encrypted packet behind what waits in the arena into the viewer's train, or at the head of a new one. */
static void couple(struct plane *plane, const struct viewer *viewer, size_t length, int *train) {
    struct train *last = *train >= 0 ? &plane->trains[*train] : NULL;
    if (last && plane->gso && last->packets < MAX_SEGMENTS && last->last == last->segment && length <= last->segment &&
        plane->vectors[*train].iov_len + length <= MAX_TRAIN) {
        if (last->packets == 1) {
            struct msghdr *header = &plane->messages[*train].msg_hdr;
            header->msg_control = plane->controls[*train].bytes;
            header->msg_controllen = sizeof plane->controls[*train].bytes;
            struct cmsghdr *control = CMSG_FIRSTHDR(header);
            control->cmsg_level = SOL_UDP;
            control->cmsg_type = UDP_SEGMENT;
            control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
            uint16_t segment = (uint16_t)last->segment;
            memcpy(CMSG_DATA(control), &segment, sizeof segment);
        }
        last->packets++;
        last->last = length;
        plane->vectors[*train].iov_len += length;
    } else {
        uint8_t *packet = plane->arena + plane->arena_used;
        if (plane->message_count == MAX_MESSAGES) {
            flush_messages(plane);
            memmove(plane->arena, packet, length);
            packet = plane->arena;
        }
        int index = *train = plane->message_count++;
        plane->vectors[index] = (struct iovec){packet, length};
        plane->trains[index] = (struct train){1, length, length};
        plane->messages[index].msg_hdr = (struct msghdr){
            .msg_name = (void *)&viewer->address,
            .msg_namelen = viewer->address_size,
            .msg_iov = &plane->vectors[index],
            .msg_iovlen = 1,
        };
        plane->totals.trains++;
    }
    plane->arena_used += length;
    plane->totals.bytes_out += (uint64_t)length;
}

/* Encrypts a packet for a viewer behind what waits in the arena, as a part of the viewer's train where it fits; -1 is no
 * train yet. */
static int emit(struct plane *plane, struct viewer *viewer, const struct stored *stored, int again, int *train) {
    if (plane->arena_used + SLOT > ARENA || (plane->message_count && plane->fd != viewer->fd)) {
        flush_messages(plane);
        *train = -1;
    }
    if (*train < 0) plane->arena_used = (plane->arena_used + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    plane->fd = viewer->fd;
    uint8_t *packet = plane->arena + plane->arena_used;
    memcpy(packet, stored->body, stored->size);
    put16(packet + 2, (uint16_t)(stored->sequence + viewer->sequence_offset));
    put32(packet + 4, viewer_timestamp(viewer, stored));
    put32(packet + 8, viewer->ssrc);
    if (viewer->picture_shift | viewer->base_shift) shift_pictures(packet, &stored->marks, viewer);
    int length = stored->size;
    if (again && viewer->rtx_type) {
        length = wrap(packet, stored, viewer);
    } else if (!viewer->rtx_type && stored->padding) {
        /* What such a viewer is sent again must be what it was sent, by whichever plane (see forwarder.py). */
        length -= stored->padding;
        packet[0] &= (uint8_t)~0x20;
    }
    if (viewer->departures && stored->marks.transport_at) write_number(plane, viewer, stored, packet, length);
    if (viewer->protect(viewer->srtp, packet, &length)) {
        plane->totals.protect_failures++;
        return 0;
    }
    couple(plane, viewer, (size_t)length, train);
    return 1;
}

static void count_sent(struct plane *plane, struct viewer *viewer, const struct stored *stored) {
    plane->totals.packets_out++;
    viewer->counters->packets++;
    viewer->counters->octets += stored->payload_size;
}

static struct stored *pending_at(const struct lane *lane, int index) {
    return lane->pending[(lane->pending_first + index) & (MAX_PENDING - 1)];
}

/* Makes a packet longer that nobody has been sent yet, for those whose retransmissions have a stream of their own. */
static void pad(struct plane *plane, struct stored *packet, int size) {
    int more = size - packet->size;
    if (!more) return;
    memset(packet->body + packet->size, 0, (size_t)more - 1);
    packet->body[size - 1] = (uint8_t)more;
    packet->body[0] |= 0x20;
    packet->padding = (uint8_t)more;
    packet->size = (uint16_t)size;
    plane->totals.padding_bytes += (uint64_t)more;
}

/* Among the next `count` packets, gives those that follow each other and are nearly equal the same size. The last one of
 * a train may be shorter as it is. */
static void even_out(struct plane *plane, struct lane *lane, int count) {
    for (int begin = 0; begin < count;) {
        int least = pending_at(lane, begin)->size, most = least, end = begin;
        while (end < count) {
            const struct stored *next = pending_at(lane, end);
            int low = next->size < least ? next->size : least, high = next->size > most ? next->size : most;
            if (high - low > MAX_PADDING || (next->body[0] & 0x20)) break;
            least = low;
            most = high;
            end++;
        }
        /* One that is much shorter ends the train; where there is none, the last of these need not be padded. */
        int tail = end < count && pending_at(lane, end)->size <= most;
        int last = tail ? end : end - 1;
        for (int i = begin; i < last; i++) pad(plane, pending_at(lane, i), most);
        begin = tail ? end + 1 : end > begin ? end : begin + 1;
    }
}

static void fetch(const void *memory, size_t bytes) {
    for (size_t at = 0; at < bytes; at += CACHE_LINE) __builtin_prefetch((const uint8_t *)memory + at, 1);
}

/* Has the memory of the next viewers fetched while this one's packets are encrypted: with a thousand of them none is in
 * the cache any more when its turn comes. */
static void foresee(const struct lane *lane, int index) {
    if (index + 2 < lane->count) fetch(lane->viewers[index + 2], sizeof(struct viewer));
    if (index + 1 == lane->count) return;
    const struct viewer *next = lane->viewers[index + 1];
    fetch(next->srtp, next->srtp_size);
    __builtin_prefetch(next->counters, 1);
    if (next->departures) departures_prefetch(next->departures);
}

static void send_pending(struct plane *plane, struct lane *lane, int count) {
    if (plane->gso && plane->padding && lane->count && count > 1) even_out(plane, lane, count);
    for (int v = 0; v < lane->count; v++) {
        struct viewer *viewer = lane->viewers[v];
        int train = -1;
        foresee(lane, v);
        if (viewer->departures) plane->now_us = now_ns() / 1000;
        for (int p = 0; p < count; p++) {
            const struct stored *packet = pending_at(lane, p);
            if (viewer->first < 0 || packet->sequence < viewer->first) continue;
            /* Who catches up gets it out of the history. */
            if (viewer->next >= 0 && packet->sequence >= viewer->next) continue;
            if (emit(plane, viewer, packet, 0, &train)) count_sent(plane, viewer, packet);
        }
    }
    for (int p = 0; p < count; p++) pending_at(lane, p)->waits = 0;
    lane->pending_first += count;
    lane->pending_count -= count;
    plane->totals.pending -= (uint64_t)count;
    plane->totals.turns++;
}

/* What waits in the lane goes out at once: its viewers are about to change. */
static void flush_lane(struct plane *plane, struct lane *lane) {
    if (lane && lane->pending_count) send_pending(plane, lane, lane->pending_count);
}

/* Gives each lane with packets its turn, if it is due; with `all`, whatever waits goes out. */
static void flush_lanes(struct plane *plane, int all) {
    int64_t now = now_ns(), next = 0;
    struct lane **link = &plane->busy;
    while (*link) {
        struct lane *lane = *link;
        if (lane->pending_count && (all || now >= lane->next_turn_ns)) {
            int count = lane->pending_count / 8;
            if (count < TURN_PACKETS) count = TURN_PACKETS;
            if (all || count > lane->pending_count) count = lane->pending_count;
            send_pending(plane, lane, count);
            lane->next_turn_ns = now + (int64_t)(count < TURN_PACKETS ? count : TURN_PACKETS) * TURN_NS / TURN_PACKETS;
        }
        if (lane->pending_count) {
            if (!next || lane->next_turn_ns < next) next = lane->next_turn_ns;
            link = &lane->next_busy;
        } else {
            *link = lane->next_busy;
            lane->busy = 0;
        }
    }
    plane->next_turn_ns = next;
    flush_messages(plane);
}

/* -- catching up -------------------------------------------------------------------------------------------------- */

/* Sends what is due out of the history; whether the viewer has caught up. */
static int catch_up(struct plane *plane, struct viewer *viewer, int64_t now) {
    struct lane *lane = viewer->lane;
    int train = -1;
    plane->now_us = now / 1000;
    if (viewer->next <= lane->highest - HISTORY) viewer->next = lane->highest - HISTORY + 1;
    for (; viewer->next <= lane->highest; viewer->next++) {
        const struct stored *stored = &lane->history[viewer->next & (HISTORY - 1)];
        /* What is missing may come yet, and is then sent at once. */
        if (!stored->body || stored->sequence != viewer->next) continue;
        /* Its turn, before which it may yet be padded, is still to come. */
        if (stored->waits) return 0;
        int32_t before = (int32_t)(viewer->until - stored->timestamp);
        if (viewer->speed && before > 0) {
            int64_t media = ((int64_t)(uint32_t)(viewer->until - viewer->since) - before) / viewer->speed;
            if (media * 1000000 / CLOCK_RATE > (now - viewer->began_ns) / 1000) return 0;
        }
        if (emit(plane, viewer, stored, 0, &train)) count_sent(plane, viewer, stored);
    }
    viewer->next = -1;
    return 1;
}

static void catch_up_all(struct plane *plane) {
    int64_t now = now_ns();
    for (struct viewer **link = &plane->behind; *link;) {
        struct viewer *viewer = *link;
        if (catch_up(plane, viewer, now))
            *link = viewer->next_behind;
        else
            link = &viewer->next_behind;
    }
    plane->next_pace_ns = now + PACE_NS;
    flush_messages(plane);
}

static void leave_behind(struct plane *plane, const struct viewer *viewer) {
    struct viewer **link = &plane->behind;
    while (*link && *link != viewer) link = &(*link)->next_behind;
    if (*link) *link = viewer->next_behind;
}

/* -- jobs --------------------------------------------------------------------------------------------------------- */

/* Keeps a packet in the history of its lane; NULL where that cannot be. */
static struct stored *store(struct plane *plane, struct job *job) {
    struct lane *lane = job->lane;
    int64_t highest = job->sequence > lane->highest ? job->sequence : lane->highest;
    if (job->sequence <= highest - HISTORY) return NULL;
    struct stored *slot = &lane->history[job->sequence & (HISTORY - 1)];
    /* It may have come late, after the lane was made: what has been sent must stay what it was. */
    if (job->kind == STORE && slot->body && slot->sequence == job->sequence) return slot;
    /* Older than that, only what came since the latest keyframe is of use. */
    struct stored *old = &lane->history[(highest - RESENDABLE) & (HISTORY - 1)];
    /* What is pending is in the history, and must not be written over before it is sent. */
    if (slot->waits || old->waits) flush_lane(plane, lane);
    if (old != slot && old->body && old->sequence <= highest - RESENDABLE && old->sequence < job->offset) {
        free(old->body);
        old->body = NULL;
        old->capacity = 0;
    }
    int needed = job->size + MAX_PADDING;
    if (slot->capacity < needed) {
        free(slot->body);
        slot->body = malloc((size_t)needed);
        slot->capacity = slot->body ? (uint16_t)needed : 0;
        if (!slot->body) return NULL;
    }
    memcpy(slot->body, job->data, job->size);
    slot->sequence = job->sequence;
    slot->timestamp = job->timestamp;
    slot->size = job->size;
    slot->payload_size = job->payload_size;
    slot->padding = 0;
    slot->waits = 0;
    slot->marks = job->marks;
    lane->highest = highest;
    return slot;
}

static void take_packet(struct plane *plane, struct job *job) {
    struct lane *lane = job->lane;
    if (job->sequence <= lane->highest - RESENDABLE) return;
    if (lane->pending_count == MAX_PENDING) flush_lane(plane, lane);
    struct stored *slot = store(plane, job);
    if (!slot) return;
    slot->waits = 1;
    lane->pending[(lane->pending_first + lane->pending_count++) & (MAX_PENDING - 1)] = slot;
    plane->totals.pending++;
    if (!lane->busy) {
        lane->busy = 1;
        lane->next_busy = plane->busy;
        plane->busy = lane;
    }
}

static void take_resend(struct plane *plane, struct job *job) {
    struct viewer *viewer = job->viewer;
    struct lane *lane = viewer->lane;
    if (!lane) return;
    plane->now_us = now_ns() / 1000;
    int64_t now_ms = plane->now_us / 1000;
    if (now_ms - viewer->resend_window_ms >= 1000) {
        viewer->resend_window_ms = now_ms;
        viewer->resend_budget = RESENDS_PER_SECOND;
    }
    int train = -1;
    for (int i = 0; i < job->size; i++) {
        uint16_t number;
        memcpy(&number, job->data + 2 * i, sizeof number);
        /* The latest outgoing number that this viewer saw as `number`. */
        int64_t sequence = lane->highest - (int64_t)(uint16_t)(lane->highest + viewer->sequence_offset - number);
        struct stored *slot = &lane->history[sequence & (HISTORY - 1)];
        int sent = viewer->first >= 0 && sequence >= viewer->first && sequence <= latest_sent(viewer);
        /* Nobody can miss what nobody has been sent. */
        if (!sent || sequence <= lane->highest - RESENDABLE || !slot->body || slot->sequence != sequence ||
            slot->waits || !remembers(viewer, slot)) {
            plane->totals.nack_unknown++;
            continue;
        }
        if (viewer->resend_budget <= 0) {
            plane->totals.nack_budget++;
            continue;
        }
        viewer->resend_budget--;
        if (slot->size + 2 <= MAX_PACKET && emit(plane, viewer, slot, 1, &train)) {
            plane->totals.packets_resent++;
            viewer->counters->resent++;
        }
    }
}

/* A burst of a probe: the latest packets again, as retransmissions, as many bytes as are asked for. */
static void take_probe(struct plane *plane, struct job *job) {
    struct viewer *viewer = job->viewer;
    struct lane *lane = viewer->lane;
    if (!lane || !viewer->departures || !viewer->rtx_type || viewer->first < 0) return;
    int64_t latest = latest_sent(viewer), span = latest - viewer->first + 1;
    if (span <= 0) return;
    if (span > PROBE_HISTORY) span = PROBE_HISTORY;
    int train = -1;
    plane->now_us = now_ns() / 1000;
    viewer->probe_debt += job->size;
    for (int i = 0; i < PROBE_PACKETS && viewer->probe_debt > 0; i++) {
        int64_t sequence = latest - i % span;
        struct stored *slot = &lane->history[sequence & (HISTORY - 1)];
        if (!slot->body || slot->sequence != sequence || slot->waits || slot->size + 2 > MAX_PACKET) continue;
        if (!emit(plane, viewer, slot, 1, &train)) continue;
        viewer->probe_debt -= slot->size + 2;
        plane->totals.packets_probed++;
    }
    if (viewer->probe_debt > 0) viewer->probe_debt = 0;
    departures_probed(viewer->departures);
}

static void free_viewer(struct viewer *viewer) {
    free(viewer->numbers);
    free(viewer);
}

static void take_attach(struct plane *plane, struct job *job) {
    struct lane *lane = job->lane;
    if (lane->count == lane->capacity) {
        int capacity = lane->capacity ? 2 * lane->capacity : 16;
        struct viewer **grown = realloc(lane->viewers, (size_t)capacity * sizeof *grown);
        if (!grown) return;
        lane->viewers = grown;
        lane->capacity = capacity;
    }
    job->viewer->lane = lane;
    job->viewer->index = lane->count;
    lane->viewers[lane->count++] = job->viewer;
    if (job->viewer->next < 0) return;
    job->viewer->began_ns = now_ns();
    if (!catch_up(plane, job->viewer, job->viewer->began_ns)) {
        if (!plane->behind) plane->next_pace_ns = job->viewer->began_ns + PACE_NS;
        job->viewer->next_behind = plane->behind;
        plane->behind = job->viewer;
    }
}

static void take_detach(struct plane *plane, struct job *job) {
    struct viewer *viewer = job->viewer;
    struct lane *lane = viewer->lane;
    if (viewer->next >= 0) leave_behind(plane, viewer);
    if (lane && viewer->index < lane->count && lane->viewers[viewer->index] == viewer) {
        struct viewer *last = lane->viewers[--lane->count];
        lane->viewers[viewer->index] = last;
        last->index = viewer->index;
    }
    free_viewer(viewer);
}

static void leave_busy(struct plane *plane, const struct lane *lane) {
    struct lane **link = &plane->busy;
    while (*link && *link != lane) link = &(*link)->next_busy;
    if (*link) *link = lane->next_busy;
}

static void discard_lane(struct plane *plane, struct lane *lane) {
    leave_busy(plane, lane);
    for (int i = 0; i < HISTORY; i++) free(lane->history[i].body);
    for (int v = 0; v < lane->count; v++) {
        leave_behind(plane, lane->viewers[v]);
        free_viewer(lane->viewers[v]);
    }
    free(lane->viewers);
    free(lane);
}

static void run_jobs(struct plane *plane, struct job *job, int stopping) {
    uint64_t count = 0;
    while (job) {
        struct job *next = job->next;
        struct viewer *viewer = job->viewer;
        switch (job->kind) {
            case PACKET: take_packet(plane, job); break;
            case STORE: store(plane, job); break;
            case ATTACH:
                flush_lane(plane, job->lane);
                take_attach(plane, job);
                break;
            case BEGIN:
                flush_lane(plane, viewer->lane);
                viewer->first = job->sequence;
                viewer->sequence_offset = job->offset;
                break;
            case DETACH:
                flush_lane(plane, viewer->lane);
                /* What is encrypted for it is under way before its end is told. */
                flush_messages(plane);
                take_detach(plane, job);
                break;
            case MOVE:
                flush_messages(plane);
                viewer->fd = job->fd;
                viewer->address = job->address;
                viewer->address_size = job->address_size;
                break;
            case RESEND: take_resend(plane, job); break;
            case PROBE: take_probe(plane, job); break;
            case DISCARD:
                flush_lane(plane, job->lane);
                flush_messages(plane);
                discard_lane(plane, job->lane);
                break;
        }
        free(job);
        job = next;
        count++;
    }
    flush_lanes(plane, stopping);
    if (plane->behind && now_ns() >= plane->next_pace_ns) catch_up_all(plane);
    plane->totals.batches++;
    __atomic_add_fetch(&plane->totals.processed, count, __ATOMIC_RELEASE);
}

/* Waits until there is something to do, with the lock held: jobs whose window is over, a turn that is due, or somebody to
 * look after who catches up. */
static void wait_for_work(struct plane *plane) {
    while (!plane->stopping) {
        if (plane->head && plane->urgent) return;
        int64_t until = plane->head ? plane->deadline_ns : INT64_MAX;
        if (plane->next_turn_ns && plane->next_turn_ns < until) until = plane->next_turn_ns;
        if (plane->behind && plane->next_pace_ns < until) until = plane->next_pace_ns;
        if (until == INT64_MAX) {
            pthread_cond_wait(&plane->filled, &plane->lock);
            continue;
        }
        struct timespec deadline = {until / 1000000000, until % 1000000000};
        if (pthread_cond_timedwait(&plane->filled, &plane->lock, &deadline) == ETIMEDOUT) return;
    }
}

static void *run(void *argument) {
    struct plane *plane = argument;
    pthread_mutex_lock(&plane->lock);
    for (;;) {
        /* Others that come within the window go with the first one, unless something cannot wait. */
        wait_for_work(plane);
        struct job *jobs = plane->head;
        int stopping = plane->stopping;
        plane->head = NULL;
        plane->tail = &plane->head;
        plane->urgent = plane->queued = 0;
        pthread_mutex_unlock(&plane->lock);
        run_jobs(plane, jobs, stopping);
        if (stopping) return NULL;
        pthread_mutex_lock(&plane->lock);
    }
}

static void enqueue(struct plane *plane, struct job *job, int urgent) {
    job->next = NULL;
    pthread_mutex_lock(&plane->lock);
    int first = !plane->head;
    *plane->tail = job;
    plane->tail = &job->next;
    plane->queued++;
    if (first) plane->deadline_ns = now_ns() + plane->window_ns;
    int wake = first || (urgent && !plane->urgent);
    if (urgent) plane->urgent = 1;
    if (wake) pthread_cond_signal(&plane->filled);
    pthread_mutex_unlock(&plane->lock);
}

static struct job *new_job(enum kind kind, size_t data) {
    struct job *job = calloc(1, sizeof *job + data);
    if (job) job->kind = kind;
    return job;
}

/* -- what Python calls -------------------------------------------------------------------------------------------- */

/* Whether this kernel knows trains is asked of `fd`; `padding` lets packets be padded to make trains longer. */
struct plane *plane_open(int fd, int64_t window_ns, int use_gso, int padding) {
    struct plane *plane = calloc(1, sizeof *plane);
    if (!plane) return NULL;
    plane->fd = fd;
    plane->window_ns = window_ns;
    plane->padding = padding;
    plane->tail = &plane->head;
    plane->arena = malloc(ARENA);
    int segment = 0;
    socklen_t size = sizeof segment;
    plane->gso = use_gso && getsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, &size) == 0;
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&plane->lock, NULL);
    pthread_cond_init(&plane->filled, &clock);
    pthread_condattr_destroy(&clock);
    if (!plane->arena || pthread_create(&plane->thread, NULL, run, plane)) {
        free(plane->arena);
        free(plane);
        return NULL;
    }
    return plane;
}

/* Sends what is queued, then ends the thread. Lanes must have been discarded. */
void plane_close(struct plane *plane) {
    pthread_mutex_lock(&plane->lock);
    plane->stopping = 1;
    pthread_cond_signal(&plane->filled);
    pthread_mutex_unlock(&plane->lock);
    pthread_join(plane->thread, NULL);
    pthread_mutex_destroy(&plane->lock);
    pthread_cond_destroy(&plane->filled);
    free(plane->arena);
    free(plane);
}

int plane_uses_trains(const struct plane *plane) { return plane->gso; }

void plane_totals(struct plane *plane, struct totals *totals) {
    *totals = plane->totals;
    totals->processed = __atomic_load_n(&plane->totals.processed, __ATOMIC_ACQUIRE);
}

struct lane *plane_lane(void) {
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane) lane->highest = -1;
    return lane;
}

/* `address` is a sockaddr; `first` is -1 when `plane_begin` will say. With `next` of 0 or more the viewer gets what the
 * lane has from there on, and catches up; `since`, `until` and `speed` are those of its haste, 0 where it has none.
 * `departures` is NULL where the transport has no numbers, and else outlives the viewer. What it returns is valid until
 * `plane_detach`. */
struct viewer *plane_attach(struct plane *plane, struct lane *lane, void *srtp, void *protect, int srtp_size, int fd,
                            const void *address, int address_size, uint32_t ssrc, int64_t first,
                            int64_t sequence_offset, uint32_t timestamp_offset, uint16_t picture_shift,
                            uint16_t base_shift, uint8_t rtx_type, uint32_t rtx_ssrc, int64_t next, uint32_t since,
                            uint32_t until, uint32_t speed, struct counters *counters,
                            struct departures *departures) {
    if (address_size <= 0 || (size_t)address_size > sizeof(struct sockaddr_storage) || srtp_size < 0) return NULL;
    struct job *job = new_job(ATTACH, 0);
    struct viewer *viewer = calloc(1, sizeof *viewer);
    uint32_t *numbers = departures && !(rtx_type & 0x7F) ? calloc(RESENDABLE, sizeof *numbers) : NULL;
    if (!job || !viewer || (departures && !(rtx_type & 0x7F) && !numbers)) {
        free(job);
        free(viewer);
        free(numbers);
        return NULL;
    }
    viewer->srtp = srtp;
    viewer->protect = (protect_function)protect;
    viewer->srtp_size = (size_t)srtp_size;
    viewer->fd = fd;
    memcpy(&viewer->address, address, (size_t)address_size);
    viewer->address_size = (socklen_t)address_size;
    viewer->ssrc = ssrc;
    viewer->timestamp_offset = timestamp_offset;
    viewer->first = first;
    viewer->sequence_offset = sequence_offset;
    viewer->picture_shift = picture_shift;
    viewer->base_shift = base_shift;
    viewer->rtx_type = rtx_type & 0x7F;
    viewer->rtx_ssrc = rtx_ssrc;
    viewer->next = next;
    viewer->since = since;
    viewer->until = until;
    viewer->speed = speed;
    viewer->counters = counters;
    viewer->departures = departures;
    viewer->numbers = numbers;
    job->lane = lane;
    job->viewer = viewer;
    enqueue(plane, job, 0);
    return viewer;
}

/* The viewer begins with this place in the track's timeline, which must be forwarded next. */
int plane_begin(struct plane *plane, struct viewer *viewer, int64_t first, int64_t sequence_offset) {
    struct job *job = new_job(BEGIN, 0);
    if (!job) return -1;
    job->viewer = viewer;
    job->sequence = first;
    job->offset = sequence_offset;
    enqueue(plane, job, 0);
    return 0;
}

int plane_detach(struct plane *plane, struct viewer *viewer) {
    struct job *job = new_job(DETACH, 0);
    if (!job) return -1;
    job->viewer = viewer;
    enqueue(plane, job, 0);
    return 0;
}

int plane_move(struct plane *plane, struct viewer *viewer, int fd, const void *address, int address_size) {
    if (address_size <= 0 || (size_t)address_size > sizeof(struct sockaddr_storage)) return -1;
    struct job *job = new_job(MOVE, 0);
    if (!job) return -1;
    job->viewer = viewer;
    job->fd = fd;
    memcpy(&job->address, address, (size_t)address_size);
    job->address_size = (socklen_t)address_size;
    enqueue(plane, job, 0);
    return 0;
}

int plane_discard(struct plane *plane, struct lane *lane) {
    struct job *job = new_job(DISCARD, 0);
    if (!job) return -1;
    job->lane = lane;
    enqueue(plane, job, 0);
    return 0;
}

static struct job *packet_job(enum kind kind, struct lane *lane, const void *body, int size, int payload_size,
                              int64_t sequence, uint32_t timestamp, int picture_at, int wide, int base_at,
                              int transport_at, int64_t keep) {
    if (size < 12 || size > MAX_PACKET || sequence < 0) return NULL;
    if (payload_size < 0 || payload_size > size - 12) return NULL;
    if (picture_at < 0 || picture_at + 1 + (wide != 0) > size || base_at < 0 || base_at + 1 > size) return NULL;
    if (transport_at && (transport_at < 12 || transport_at + 2 > size - payload_size)) return NULL;
    struct job *job = new_job(kind, (size_t)size);
    if (!job) return NULL;
    job->lane = lane;
    job->sequence = sequence;
    job->offset = keep;
    job->timestamp = timestamp;
    job->size = (uint16_t)size;
    job->payload_size = (uint16_t)payload_size;
    job->marks = (struct marks){(uint16_t)picture_at, (uint16_t)base_at, (uint16_t)transport_at, (uint8_t)(wide != 0)};
    memcpy(job->data, body, (size_t)size);
    return job;
}

/* 0; -1 when the packet cannot be taken. Places of numbers are 0 where there is none; `keep` is the number from which on
 * packets are kept for those who catch up; `urgent`: what is queued goes out now. */
int plane_forward(struct plane *plane, struct lane *lane, const void *body, int size, int payload_size,
                  int64_t sequence, uint32_t timestamp, int picture_at, int wide, int base_at, int transport_at,
                  int64_t keep, int urgent) {
    if (__atomic_load_n(&plane->queued, __ATOMIC_RELAXED) >= MAX_QUEUED) {
        plane->totals.queue_overflows++;
        return -1;
    }
    struct job *job = packet_job(PACKET, lane, body, size, payload_size, sequence, timestamp, picture_at, wide, base_at,
                                 transport_at, keep);
    if (!job) return -1;
    enqueue(plane, job, urgent);
    return 0;
}

/* The same for a packet that was sent before the lane was made: it is kept, and sent to nobody. */
int plane_store(struct plane *plane, struct lane *lane, const void *body, int size, int payload_size, int64_t sequence,
                uint32_t timestamp, int picture_at, int wide, int base_at, int transport_at) {
    struct job *job = packet_job(STORE, lane, body, size, payload_size, sequence, timestamp, picture_at, wide, base_at,
                                 transport_at, 0);
    if (!job) return -1;
    enqueue(plane, job, 0);
    return 0;
}

/* `numbers` are those that the viewer saw. */
int plane_resend(struct plane *plane, struct viewer *viewer, const uint16_t *numbers, int count) {
    if (count <= 0 || count > 4096) return -1;
    struct job *job = new_job(RESEND, (size_t)count * sizeof *numbers);
    if (!job) return -1;
    job->viewer = viewer;
    job->size = (uint16_t)count;
    memcpy(job->data, numbers, (size_t)count * sizeof *numbers);
    enqueue(plane, job, 1);
    return 0;
}

/* A burst of so many bytes, sent now: what the viewer has been sent lately, as retransmissions. */
int plane_probe(struct plane *plane, struct viewer *viewer, int bytes) {
    if (bytes <= 0 || bytes > 0xFFFF) return -1;
    struct job *job = new_job(PROBE, 0);
    if (!job) return -1;
    job->viewer = viewer;
    job->size = (uint16_t)bytes;
    enqueue(plane, job, 1);
    return 0;
}
