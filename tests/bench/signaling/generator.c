/* Load generator: many WebSocket clients on one core, without a library.
 *
 * It opens the sockets that a plan describes, sends at fixed intended times, and counts what arrives. It knows WebSocket
 * framing (RFC 6455) and nothing of what is said in the frames: the plan has the handshakes, the first frames, the
 * message to publish with the places to fill in, and the marker by which messages are found in what arrives, however
 * many of them a frame has. So one generator drives every server alike.
 *
 * A message's stamp is: marker, run (2 hex digits), intended time in µs (12), number in this run (8). Latency counts from
 * the intended time, so that a server (or this generator) which holds up the sending does not hide it.
 *
 * Usage: generator PLAN. Commands come on stdin, one line of JSON for each goes to stdout (see generator.py).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "histogram.h"

enum { INBOX = 16 << 20, READ_AT_ONCE = 256 << 10, OPENING_MAX = 64, KINDS_MAX = 12, CACHE = 64, STAMP = 22, SMALL_BUFFER = 16 << 10 };
enum state { CLOSED, CONNECTING, UPGRADING, JOINING, OPEN };
enum action { COUNT, READY, KEEP, ANSWER };

struct bytes {
    uint8_t *data;
    size_t length, room;
};

/* A kind of frame, told by the bytes at one place of its payload. */
struct kind {
    char name[24];
    enum action action;
    size_t offset;
    struct bytes needle, reply;
    int reply_opcode;
    uint64_t count;
};

struct link {
    int fd;
    enum state state;
    bool stalled, writing;
    int opcode;
    uint32_t mask;
    struct bytes request, first, partial, out;
    uint64_t ping_at;
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

static struct link *links;
static uint32_t link_count, link_room, small_links, publishers = 1, opened, failed, lost_links, opening, next_to_open, fragments;
static struct kind kinds[KINDS_MAX];
static int kind_count;
static struct bytes marker, message, ping;
static int message_opcode, ping_opcode;
static long id_offset = -1, stamp_offset;
static uint64_t ping_interval, opening_since, id_base;
static struct sockaddr_in address;
static int poller, timer;
static uint8_t *inbox;
static struct parsed cache[CACHE];
static struct run run;
static char kept[512];

static void die(const char *what) {
    fprintf(stderr, "generator: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

static void append(struct bytes *to, const void *data, size_t length) {
    if (to->length + length > to->room) {
        to->room = (to->length + length) * 2;
        if (!(to->data = realloc(to->data, to->room))) die("memory");
    }
    if (length) memcpy(to->data + to->length, data, length);
    to->length += length;
}

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

static void hex(uint8_t *to, uint64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--, value >>= 4) to[i] = (uint8_t)"0123456789abcdef"[value & 15];
}

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

/* Receiving */

static uint64_t unhex(const uint8_t *from, int digits) {
    uint64_t value = 0;
    for (int i = 0; i < digits; i++) value = value << 4 | (uint64_t)((from[i] & 15) + (from[i] > '9' ? 9 : 0));
    return value;
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

static void joined(struct link *l) {
    l->state = OPEN;
    opening--;
    opened++;
    /* Spread over the interval, as people who come at different times are. */
    if (ping_interval) l->ping_at = now_us() + ping_interval * ((uint64_t)(l - links) % 997) / 997;
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
    if (run.active && run.phase == 1) run.window_bytes += (uint64_t)n;
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

/* Time */

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
        run.cpu_before = cpu_seconds();
        say("{\"event\":\"begin\"}");
    }
    if (run.phase == 1 && now >= run.end) {
        run.phase = 2;
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

static void set_timer(uint64_t at) {
    struct itimerspec spec = {.it_value = {(time_t)(at / 1000000), (long)(at % 1000000) * 1000}};
    if (at == UINT64_MAX) spec.it_value.tv_sec = spec.it_value.tv_nsec = 0;
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* The plan and the commands */

static struct bytes from_hex(const char *text) {
    struct bytes b = {0};
    for (; text[0] && text[1] && text[0] != '-'; text += 2) {
        uint8_t byte = (uint8_t)unhex((const uint8_t *)text, 2);
        append(&b, &byte, 1);
    }
    return b;
}

static void plan_line(char *line) {
    char *words[8] = {0}, *save = NULL;
    int n = 0;
    for (char *w = strtok_r(line, " \n", &save); w && n < 8; w = strtok_r(NULL, " \n", &save)) words[n++] = w;
    if (!n) return;
    if (!strcmp(words[0], "address")) {
        address.sin_family = AF_INET;
        inet_pton(AF_INET, words[1], &address.sin_addr);
        address.sin_port = htons((uint16_t)atoi(words[2]));
    } else if (!strcmp(words[0], "marker")) marker = from_hex(words[1]);
    else if (!strcmp(words[0], "small-buffers")) small_links = (uint32_t)atol(words[1]);
    else if (!strcmp(words[0], "publishers")) publishers = (uint32_t)atol(words[1]);
    else if (!strcmp(words[0], "kind") && kind_count < KINDS_MAX) {
        struct kind *k = &kinds[kind_count++];
        snprintf(k->name, sizeof k->name, "%s", words[1]);
        const char *names[] = {"count", "ready", "keep", "answer"};
        for (int i = 0; i < 4; i++)
            if (!strcmp(words[2], names[i])) k->action = (enum action)i;
        k->offset = (size_t)atol(words[3]);
        k->needle = from_hex(words[4]);
        if (k->action == ANSWER) k->reply_opcode = atoi(words[5]), k->reply = from_hex(words[6]);
    } else if (!strcmp(words[0], "message")) {
        message_opcode = atoi(words[1]), id_offset = atol(words[2]), stamp_offset = atol(words[3]);
        message = from_hex(words[4]);
    } else if (!strcmp(words[0], "id-base")) id_base = strtoull(words[1], NULL, 10);
    else if (!strcmp(words[0], "ping")) {
        ping_interval = strtoull(words[1], NULL, 10) * 1000;
        ping_opcode = atoi(words[2]);
        ping = from_hex(words[3]);
    } else if (!strcmp(words[0], "socket")) {
        if (link_count == link_room) {
            link_room = link_room ? link_room * 2 : 1024;
            if (!(links = realloc(links, link_room * sizeof *links))) die("memory");
        }
        struct link *l = &links[link_count++];
        *l = (struct link){.fd = -1, .mask = link_count * 2654435761u};
        l->request = from_hex(words[1]);
        l->opcode = atoi(words[2]);
        l->first = from_hex(words[3]);
    }
}

static void read_plan(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) die(path);
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) > 0) plan_line(line);
    free(line);
    fclose(file);
}

static void command(const char *line) {
    double rate, seconds, warm_up, drain;
    unsigned n;
    if (!strncmp(line, "open", 4)) opening_since = now_us(), open_more();
    else if (sscanf(line, "run %lf %lf %lf %lf", &rate, &seconds, &warm_up, &drain) == 4) begin_run(rate, seconds, warm_up, drain);
    else if (sscanf(line, "stall %u", &n) == 1 || !strncmp(line, "resume", 6)) {
        /* The last ones: publishers come first. */
        bool stall = line[0] == 's';
        for (uint32_t i = 0; i < link_count; i++) {
            bool wanted = stall && i >= link_count - n;
            if (links[i].state != OPEN || links[i].stalled == wanted) continue;
            links[i].stalled = wanted;
            watch(&links[i]);
        }
        say("{\"event\":\"stalled\",\"reading\":%u}", receivers());
    } else if (!strncmp(line, "state", 5)) {
        uint32_t open = 0;
        for (uint32_t i = 0; i < link_count; i++) open += links[i].state == OPEN;
        say("{\"event\":\"state\",\"open\":%u,\"lost_links\":%u,\"generator_cpu_s\":%.3f,\"note\":\"%s\"}", open, lost_links,
            cpu_seconds(), kept);
    }
}

static bool commands_arrived(void) {
    static char buffer[4096];
    static size_t held;
    ssize_t n = read(0, buffer + held, sizeof buffer - 1 - held);
    if (n <= 0) return false;
    held += (size_t)n;
    buffer[held] = 0;
    char *start = buffer;
    for (char *end; (end = strchr(start, '\n')); start = end + 1) {
        *end = 0;
        command(start);
    }
    held -= (size_t)(start - buffer);
    memmove(buffer, start, held);
    return true;
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: generator PLAN\n"), 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    read_plan(argv[1]);
    if (!(inbox = malloc(INBOX))) die("memory");
    poller = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
    event.data.u32 = UINT32_MAX - 1;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event)) die("stdin");
    say("{\"event\":\"planned\",\"sockets\":%u}", link_count);
    for (;;) {
        struct epoll_event events[512];
        int n = epoll_wait(poller, events, 512, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            uint32_t index = events[i].data.u32;
            if (index == UINT32_MAX) {
                uint64_t expirations;
                if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN) die("timer");
            } else if (index == UINT32_MAX - 1) {
                if (!commands_arrived()) return 0;
            } else {
                struct link *l = &links[index];
                if (l->state != CLOSED && events[i].events & EPOLLOUT) writable(l);
                if (l->state != CLOSED && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(l);
            }
            /* Sending on time comes before receiving: a long run of ready sockets must not hold it up. */
            if (run.active && (i & 31) == 31) advance_run(now_us());
        }
        if (opening_since) open_more();
        uint64_t now = now_us(), next = run.active ? advance_run(now) : UINT64_MAX, pinged = send_pings(now);
        set_timer(next < pinged ? next : pinged);
    }
}
