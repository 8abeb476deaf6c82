/* What was sent over one transport: when and how much, by transport-wide number. Written by whoever sends (the plane's
 * thread, and for viewers over TCP the loop's), read by the loop's thread when feedback comes.
 *
 * How that is safe without a lock: an entry is one aligned word, stored and loaded as a whole, and says itself which
 * packet it is of. A reader that meets an entry of another packet, older or newer, takes the packet for unknown. So no
 * order between two entries matters, and `next` only bounds which numbers can have been given. Two writers never get one
 * number, since `next` is counted up atomically.
 */
#ifndef HEADRACE_DEPARTURES_H
#define HEADRACE_DEPARTURES_H

#include <stdint.h>

enum {
    SENT_LOG = 2048, /* a power of two */
    /* An entry from the top: 13 bits of the number above its place, 11 of bytes, 40 of microseconds (12 days). */
    SENT_TIME_BITS = 40,
    SENT_SIZE_BITS = 11,
    SENT_PLACE_BITS = 11,
};

struct departures {
    uint64_t next;      /* extended: what goes on the wire is its last 16 bits; begins at SENT_LOG, see sent.py */
    uint64_t probe_end; /* behind the latest packet that was sent as a part of a probe */
    uint64_t entries[SENT_LOG];
};

/* Notes a packet; its number on the wire. */
static inline uint16_t departures_add(struct departures *departures, int64_t now_us, unsigned size) {
    uint64_t number = __atomic_fetch_add(&departures->next, 1, __ATOMIC_RELAXED);
    uint64_t entry = number >> SENT_PLACE_BITS << (SENT_TIME_BITS + SENT_SIZE_BITS);
    entry |= (uint64_t)(size < 1u << SENT_SIZE_BITS ? size : (1u << SENT_SIZE_BITS) - 1) << SENT_TIME_BITS;
    entry |= (uint64_t)now_us & (((uint64_t)1 << SENT_TIME_BITS) - 1);
    __atomic_store_n(&departures->entries[number & (SENT_LOG - 1)], entry, __ATOMIC_RELEASE);
    return (uint16_t)number;
}

/* Has the memory fetched that the next packets are noted in. */
static inline void departures_prefetch(const struct departures *departures) {
    uint64_t place = __atomic_load_n(&departures->next, __ATOMIC_RELAXED) & (SENT_LOG - 1);
    __builtin_prefetch(&departures->entries[place], 1);
    __builtin_prefetch(&departures->entries[(place + 8) & (SENT_LOG - 1)], 1);
}

/* What was noted last belongs to a probe. */
static inline void departures_probed(struct departures *departures) {
    uint64_t next = __atomic_load_n(&departures->next, __ATOMIC_RELAXED);
    __atomic_store_n(&departures->probe_end, next, __ATOMIC_RELEASE);
}

#endif
