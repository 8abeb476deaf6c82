/* A run: messages published at fixed intended times, found again in what arrives, and counted once for each socket. */
#ifndef MESSAGES_H
#define MESSAGES_H

#include "common.h"
#include "histogram.h"
#include "links.h"

enum { KINDS_MAX = 12, CACHE = 64, STAMP = 22 };
enum action { COUNT, READY, KEEP, ANSWER };

/* A kind of frame, told by the bytes at one place of its payload. */
struct kind {
    char name[24];
    enum action action;
    size_t offset;
    struct bytes needle, reply;
    int reply_opcode;
    uint64_t count;
};

struct stamp {
    uint64_t intended;
    uint32_t run, number;
};

/* All sockets of a room get the same bytes: a frame is searched once and recognised after that. */
struct parsed {
    struct bytes payload, stamps;
};

struct run {
    bool active;
    uint32_t id;
    double rate;
    uint64_t start, measured, end, stop; /* first message, window's begin and end, end of the wait for stragglers */
    uint32_t total, sent, first_measured;
    int phase;
    uint8_t *seen;         /* one bit for each link and message */
    uint32_t *latest;      /* the last number + 1 for each link and publisher */
    size_t stride;
    uint64_t deliveries, window_deliveries, window_frames, window_bytes, duplicates, reordered, stale, expected;
    double cpu_before, cpu;
    struct histogram latency, lag;
};

static struct kind kinds[KINDS_MAX];
static int kind_count, message_opcode;
static struct bytes marker, message;
static long id_offset = -1, stamp_offset;
static uint64_t id_base;
static uint32_t publishers = 1;
static struct parsed cache[CACHE];
static struct run run;

static void publish(uint32_t number, uint64_t intended) {
    struct link *l = &links[number % publishers];
    if (id_offset >= 0) {
        uint64_t id = id_base | (uint64_t)run.id << 24 | number;
        for (int i = 0; i < 8; i++) message.data[id_offset + i] = (uint8_t)(id >> (56 - 8 * i));
    }
    hex(message.data + stamp_offset, run.id, 2);
    hex(message.data + stamp_offset + 2, intended, 12);
    hex(message.data + stamp_offset + 14, number, 8);
    if (l->state == OPEN) send_frame(l, message_opcode, message.data, message.length);
}

static const struct parsed *parse(const uint8_t *payload, size_t length) {
    uint64_t sum = length;
    for (size_t i = 0; i < length && i < 24; i++) sum = sum * 31 + payload[i] + payload[length - 1 - i];
    struct parsed *p = &cache[sum % CACHE];
    if (p->payload.length == length && !memcmp(p->payload.data, payload, length)) return p;
    p->payload.length = p->stamps.length = 0;
    append(&p->payload, payload, length);
    const uint8_t *at = payload, *end = payload + length;
    while ((at = memmem(at, (size_t)(end - at), marker.data, marker.length))) {
        at += marker.length;
        if (end - at < STAMP) break;
        struct stamp s = {unhex(at + 2, 12), (uint32_t)unhex(at, 2), (uint32_t)unhex(at + 14, 8)};
        append(&p->stamps, &s, sizeof s);
    }
    return p;
}

static void count(uint32_t index, const struct parsed *p, uint64_t now) {
    const struct stamp *s = (const struct stamp *)(const void *)p->stamps.data;
    size_t n = p->stamps.length / sizeof *s;
    bool in_window = run.active && run.phase == 1;
    if (in_window) run.window_deliveries += n, run.window_frames++;
    for (size_t i = 0; i < n; i++) {
        uint32_t number = s[i].number;
        if (!run.active || s[i].run != run.id || number >= run.total) {
            run.stale++;
            continue;
        }
        uint8_t *seen = &run.seen[index * run.stride + number / 8], bit = (uint8_t)(1 << (number & 7));
        if (*seen & bit) {
            run.duplicates++;
            continue;
        }
        *seen |= bit;
        run.deliveries++;
        uint32_t *latest = &run.latest[(size_t)index * publishers + number % publishers];
        if (number + 1 < *latest) run.reordered++;
        else *latest = number + 1;
        if (number >= run.first_measured) histogram_add(&run.latency, now > s[i].intended ? now - s[i].intended : 0, 1);
    }
}

static void payload_arrived(struct link *l, int opcode, const uint8_t *payload, size_t length, uint64_t now) {
    if (opcode == 8 || l->state == CLOSED) {
        if (l->state != CLOSED && length >= 2) {
            snprintf(kept, sizeof kept, "closed with %d", payload[0] << 8 | payload[1]);
            drop(l);
        }
        return;
    }
    if (opcode == 9) {
        send_frame(l, 10, payload, length);
        return;
    }
    for (int i = 0; i < kind_count; i++) {
        struct kind *k = &kinds[i];
        if (length < k->offset + k->needle.length || memcmp(payload + k->offset, k->needle.data, k->needle.length)) continue;
        k->count++;
        if (k->action == READY && l->state == JOINING) joined(l);
        if (k->action == ANSWER) send_frame(l, k->reply_opcode, k->reply.data, k->reply.length);
        if (k->action == KEEP && !kept[0])
            for (size_t b = 0; b < length && 2 * b + 2 < sizeof kept; b++) snprintf(kept + 2 * b, 3, "%02x", payload[b]);
        return;
    }
    count((uint32_t)(l - links), parse(payload, length), now);
}

static uint64_t intended_time(uint32_t number) { return run.start + (uint64_t)((double)number * 1e6 / run.rate); }

static uint32_t receivers(void) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < link_count; i++) n += links[i].state == OPEN && !links[i].stalled;
    return n;
}

static void begin_run(double rate, double seconds, double warm_up, double drain) {
    uint32_t id = run.id + 1;
    free(run.seen);
    free(run.latest);
    memset(&run, 0, sizeof run);
    run.id = id & 255;
    run.rate = rate;
    run.start = now_us() + 20000;
    run.measured = run.start + (uint64_t)(warm_up * 1e6);
    run.end = run.measured + (uint64_t)(seconds * 1e6);
    run.stop = run.end + (uint64_t)(drain * 1e6);
    run.total = (uint32_t)((warm_up + seconds) * rate);
    run.first_measured = (uint32_t)(warm_up * rate);
    run.stride = run.total / 8 + 1;
    run.seen = calloc(link_count, run.stride);
    run.latest = calloc((size_t)link_count * publishers, sizeof *run.latest);
    if (!run.seen || !run.latest) die("memory");
    run.expected = (uint64_t)run.total * receivers();
    run.active = true;
    kept[0] = 0;
    for (int i = 0; i < kind_count; i++) kinds[i].count = 0;
}

/* What never came counts as having taken until now: leaving it out would flatter a server that is too slow. */
static uint64_t count_missing(uint64_t now) {
    uint64_t missing = 0;
    for (uint32_t i = 0; i < link_count; i++) {
        if (links[i].stalled || links[i].state != OPEN) continue;
        for (uint32_t number = 0; number < run.sent; number++) {
            if (run.seen[i * run.stride + number / 8] >> (number & 7) & 1) continue;
            missing++;
            if (number >= run.first_measured) histogram_add(&run.latency, now - intended_time(number), 1);
        }
    }
    return missing;
}

static void end_run(uint64_t now) {
    bool complete = run.deliveries >= run.expected;
    uint64_t missing = complete ? 0 : count_missing(now);
    char text[1024];
    int at = 0;
    for (int i = 0; i < kind_count; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "%s\"%s\":%lu", i ? "," : "", kinds[i].name, kinds[i].count);
    run.active = false;
    say("{\"event\":\"run\",\"rate\":%.0f,\"published\":%u,\"receivers\":%u,\"deliveries\":%lu,\"window_s\":%.3f,"
        "\"window_deliveries\":%lu,\"window_frames\":%lu,\"window_bytes\":%lu,\"missing\":%lu,\"duplicates\":%lu,"
        "\"reordered\":%lu,\"stale\":%lu,\"p50_ms\":%.2f,\"p95_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f,"
        "\"send_lag_p99_ms\":%.2f,\"generator_cpu_s\":%.3f,\"lost_links\":%u,\"fragments\":%u,\"kinds\":{%s},\"note\":\"%s\"}",
        run.rate, run.sent, receivers(), run.deliveries, (double)(run.end - run.measured) / 1e6, run.window_deliveries,
        run.window_frames, run.window_bytes, missing, run.duplicates, run.reordered, run.stale,
        histogram_percentile_ms(&run.latency, 50), histogram_percentile_ms(&run.latency, 95),
        histogram_percentile_ms(&run.latency, 99), (double)run.latency.max / 1000,
        histogram_percentile_ms(&run.lag, 99), run.cpu, lost_links, fragments, text, kept);
}

static uint64_t advance_run(uint64_t now) {
    if (run.phase == 0 && now >= run.measured) {
        run.phase = 1;
        window_bytes = 0;
        run.cpu_before = cpu_seconds();
        say("{\"event\":\"begin\"}");
    }
    if (run.phase == 1 && now >= run.end) {
        run.phase = 2;
        run.window_bytes = window_bytes;
        run.cpu = cpu_seconds() - run.cpu_before;
        say("{\"event\":\"end\"}");
    }
    while (run.sent < run.total && intended_time(run.sent) <= now) {
        if (run.phase == 1) histogram_add(&run.lag, now - intended_time(run.sent), 1);
        publish(run.sent, intended_time(run.sent));
        run.sent++;
    }
    if (run.phase == 2 && (now >= run.stop || (run.sent == run.total && run.deliveries >= run.expected))) {
        end_run(now);
        return UINT64_MAX;
    }
    uint64_t next = run.phase == 0 ? run.measured : run.phase == 1 ? run.end : now + 10000;
    if (run.sent < run.total && intended_time(run.sent) < next) next = intended_time(run.sent);
    return next;
}

#endif
