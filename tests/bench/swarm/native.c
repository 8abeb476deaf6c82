/* Viewers that decrypt and judge every packet, and answer as a browser does: a thread without Python for all of them.
 *
 * The other benchmark's viewers are the base: how transport-wide feedback is written is there, and in one place only. */
#include "../sfu/native.c"

#ifndef SO_RXQ_OVFL
#define SO_RXQ_OVFL 40
#endif

enum { WINDOW = 4096, FRAMES = 64, MISSING = 256, BUCKETS = 50000, CONTROL = 128 };
enum { TICK_US = 5000, REPORT_US = 1000000, KEYFRAME_US = 1000000, AGAIN_US = 50000, TRIES = 10 };
enum { AUDIO, VIDEO, STREAMS };

/* What has come of one SSRC. Sequence numbers are extended by their cycles (RFC 3550, appendix A.1). */
struct stream {
    uint32_t ssrc, clock;
    int started;
    int64_t first, highest;
    int64_t base, end; /* what is measured; base is -1 until the first packet */
    uint64_t seen[WINDOW / 64];
    uint64_t unique, all;     /* in the window that is measured, and in all */
    int64_t told_all, told_highest;
    uint32_t timestamp;
    double transit, jitter; /* in units of the clock */
    int64_t report_at;
    uint32_t report_mark;
};

/* A frame of which something has come: complete when the packets between its first and its last one are all there. */
struct frame {
    uint32_t timestamp;
    int used, count, done, key;
    int64_t first, last, number, sent;
};

struct missing {
    int64_t sequence, due_us;
    int tries;
};

struct figures {
    uint64_t datagrams_ever, datagrams, dropped, overflowed, refused, expected, lost, repaired, nacked, keyframes_asked;
    uint64_t bytes, frames, freezes, reports;
    double frozen_s, jitter_ms;
    int64_t keyframe_ns;
};

struct member {
    struct member *next;
    struct sink sink; /* for its feedback */
    void *receive;
    int payload_types[2], rtx;
    int drop_every, repairs;
    struct stream streams[STREAMS];
    struct frame frames[FRAMES];
    struct missing missing[MISSING];
    int missed;
    int64_t number, shown_ns, keyframe_asked_us, reported_us;
    int wants_keyframe;
    uint32_t overflow, overflow_before;
    struct figures figures;
};

struct swarm {
    int epoll, core;
    volatile int stopping;
    pthread_t thread;
    pthread_mutex_t lock; /* of every member, held while some of them are read */
    struct member *all;
    struct sinks counts;
    int (*unprotect)(void *, void *, int *);
    int (*unprotect_rtcp)(void *, void *, int *);
    int64_t frozen_after_ns, from_ns, until_ns; /* what is measured: 0 before the first window, and at its open end */
    uint32_t latency[BUCKETS], late[BUCKETS]; /* in tenths of a millisecond; the last one is all that is above */
};

static int64_t real_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put32(uint8_t *at, uint32_t value) {
    put16(at, (int)(value >> 16));
    put16(at + 2, (int)(value & 0xFFFF));
}

static void record(uint32_t *histogram, int64_t ns) {
    int64_t bucket = ns < 0 ? 0 : ns / 100000;
    histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static int measuring(const struct swarm *swarm, int64_t at) {
    return swarm->from_ns && at >= swarm->from_ns && (!swarm->until_ns || at < swarm->until_ns);
}

static void send_rtcp(struct member *member, uint8_t *packet, int length) {
    put16(packet + 2, length / 4 - 1);
    put32(packet + 4, 1);
    if (!member->sink.protect_rtcp(member->sink.context, packet, &length))
        sendto(member->sink.fd, packet, (size_t)length, MSG_DONTWAIT, (void *)&member->sink.target,
               sizeof member->sink.target);
}

static void miss(struct member *member, int64_t from, int64_t until, int64_t now) {
    if (!member->repairs) return;
    if (until - from > MISSING - member->missed) {
        member->wants_keyframe = 1;
        member->missed = 0;
        return;
    }
    for (; from < until; from++) member->missing[member->missed++] = (struct missing){from, now, 0};
}

static void found(struct member *member, int64_t sequence) {
    for (int i = 0; i < member->missed; i++) {
        if (member->missing[i].sequence != sequence) continue;
        memmove(member->missing + i, member->missing + i + 1, (size_t)(--member->missed - i) * sizeof *member->missing);
        return;
    }
}

static int64_t extended(const struct stream *stream, uint16_t sequence) {
    if (!stream->started) return 65536 + sequence;
    return stream->highest + (int16_t)(sequence - (uint16_t)stream->highest);
}

/* Whether this packet is new. */
static int take_sequence(struct member *member, int kind, int64_t sequence, int bytes, int64_t now) {
    struct stream *stream = &member->streams[kind];
    if (!stream->started) {
        stream->started = 1;
        stream->first = sequence;
        stream->highest = sequence - 1;
        stream->told_highest = sequence - 1;
        if (stream->base < 0) stream->base = sequence;
    }
    if (sequence > stream->highest) {
        if (kind == VIDEO && sequence > stream->highest + 1) miss(member, stream->highest + 1, sequence, now);
        int64_t clear = stream->highest + 1;
        if (sequence - clear >= WINDOW) clear = sequence - WINDOW + 1;
        for (; clear <= sequence; clear++) stream->seen[clear % WINDOW / 64] &= ~(1ULL << clear % 64);
        stream->highest = sequence;
    } else if (stream->highest - sequence >= WINDOW) {
        return 0;
    }
    uint64_t *word = &stream->seen[sequence % WINDOW / 64], bit = 1ULL << sequence % 64;
    if (*word & bit) return 0;
    *word |= bit;
    stream->all++;
    if (kind == VIDEO && member->missed) found(member, sequence);
    if (sequence >= stream->base && sequence <= stream->end) {
        stream->unique++;
        member->figures.bytes += (uint64_t)bytes;
    }
    return 1;
}

/* RFC 3550, section 6.4.1 and appendix A.8. Of packets with one timestamp only the first counts, since the others were
 * not sent at that time but one after another. */
static void take_jitter(struct stream *stream, uint32_t timestamp, int64_t at) {
    if (stream->timestamp == timestamp && stream->transit) return;
    double arrival = (double)(at % 1000000000000000) * stream->clock / 1e9;
    double transit = arrival - (double)timestamp;
    /* Differences only: where the timestamp wraps, or a stream begins anew, there is none. */
    double delta = stream->transit ? transit - stream->transit : 0;
    if (delta < 0) delta = -delta;
    if (delta < 10.0 * stream->clock) stream->jitter += (delta - stream->jitter) / 16;
    stream->transit = transit;
    stream->timestamp = timestamp;
}

static int64_t hexadecimal(const uint8_t *at, int digits) {
    int64_t value = 0;
    for (int i = 0; i < digits; i++) {
        int digit = at[i] >= '0' && at[i] <= '9' ? at[i] - '0' : at[i] >= 'a' && at[i] <= 'f' ? at[i] - 'a' + 10 : -1;
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

static void show(struct swarm *swarm, struct member *member, struct frame *frame, int64_t at) {
    frame->done = 1;
    if (frame->key) {
        member->wants_keyframe = 0;
        if (!member->figures.keyframe_ns) member->figures.keyframe_ns = at;
    }
    if (measuring(swarm, frame->sent)) {
        member->figures.frames++;
        record(swarm->latency, at - frame->sent);
    }
    if (frame->number <= member->number) return;
    int64_t gap = at - member->shown_ns;
    if (member->shown_ns && gap > swarm->frozen_after_ns && measuring(swarm, at)) {
        member->figures.freezes++;
        member->figures.frozen_s += (double)gap / 1e9;
    }
    member->number = frame->number;
    member->shown_ns = at;
}

/* The mark is in the first packet of a frame: in a message alone (NAL unit type 6), or with parameter sets in a STAP-A
 * (24; RFC 6184, section 5.7.1). The last has the marker bit (section 5.1). */
static void take_frame(struct swarm *swarm, struct member *member, uint32_t timestamp, int64_t sequence, int last,
                       const uint8_t *payload, int size, int64_t at) {
    static const char magic[] = "headrace/frame/1";
    enum { UUID = 16, MARK = 25 };
    struct frame *frame = NULL, *oldest = member->frames;
    for (int i = 0; i < FRAMES; i++) {
        struct frame *candidate = &member->frames[i];
        if (candidate->used && candidate->timestamp == timestamp) {
            frame = candidate;
            break;
        }
        if (!candidate->used || (oldest->used && (int32_t)(candidate->timestamp - oldest->timestamp) < 0))
            oldest = candidate;
    }
    if (!frame) {
        frame = oldest;
        *frame = (struct frame){.used = 1, .timestamp = timestamp, .first = -1, .last = -1};
    }
    frame->count++;
    if (last) frame->last = sequence;
    int kind = payload[0] & 31;
    if (kind == 6 || kind == 24) {
        const uint8_t *mark = memmem(payload, (size_t)size, magic, UUID);
        if (mark && mark + UUID + MARK <= payload + size) {
            frame->first = sequence;
            frame->key = mark[UUID] == 'K';
            frame->number = hexadecimal(mark + UUID + 1, 8);
            frame->sent = hexadecimal(mark + UUID + 9, 16);
        }
    }
    if (!frame->done && frame->first >= 0 && frame->last >= 0 && frame->last - frame->first + 1 == frame->count)
        show(swarm, member, frame, at);
}

/* A decrypted RTP packet. */
static void take_rtp(struct swarm *swarm, struct member *member, const uint8_t *packet, int size, int64_t at) {
    if (size < 12) return;
    int header = 12 + 4 * (packet[0] & 15), type = packet[1] & 127;
    if (packet[0] & 0x10 && header + 4 <= size) header += 4 + 4 * (packet[header + 2] << 8 | packet[header + 3]);
    int end = packet[0] & 0x20 ? size - packet[size - 1] : size;
    if (header >= end) return; /* padding alone: a probe */
    uint16_t number = (uint16_t)(packet[2] << 8 | packet[3]);
    uint32_t timestamp = get32(packet + 4);
    int kind = type == member->payload_types[AUDIO] ? AUDIO : VIDEO, again = type == member->rtx;
    if (!again && type != member->payload_types[kind]) return;
    struct stream *stream = &member->streams[kind];
    const uint8_t *payload = packet + header;
    if (again) {
        /* The original's number is in front (RFC 4588, section 4). A probe repeats what has come already. */
        if (end - header <= 2 || !stream->started) return;
        number = (uint16_t)(payload[0] << 8 | payload[1]);
        payload += 2;
    } else {
        stream->ssrc = get32(packet + 8);
    }
    int64_t sequence = extended(stream, number);
    int ahead = !stream->started || sequence > stream->highest;
    int bytes = (int)(packet + end - payload);
    if (!take_sequence(member, kind, sequence, bytes, now_us())) return;
    if (again) {
        if (sequence >= stream->base && sequence <= stream->end) member->figures.repaired++;
    } else if (ahead) {
        take_jitter(stream, timestamp, at);
    }
    if (kind == VIDEO) take_frame(swarm, member, timestamp, sequence, packet[1] >> 7, payload, bytes, at);
}

/* Of a sender report what a receiver's report repeats (RFC 3550, section 6.4.1: LSR and DLSR). */
static void take_rtcp(struct member *member, const uint8_t *packet, int size) {
    while (size >= 8) {
        int length = 4 + 4 * (packet[2] << 8 | packet[3]);
        if (length > size) return;
        if (packet[1] == 200 && length >= 28) {
            for (int kind = 0; kind < STREAMS; kind++) {
                if (!member->streams[kind].started || member->streams[kind].ssrc != get32(packet + 4)) continue;
                member->streams[kind].report_mark = get32(packet + 10);
                member->streams[kind].report_at = now_us();
            }
        }
        packet += length;
        size -= length;
    }
}

/* A datagram as it came, encrypted or not. */
static void take_datagram(struct swarm *swarm, struct member *member, uint8_t *data, int size, int64_t at, int plain) {
    /* RTP or RTCP (RFC 5761, section 4), not STUN or DTLS (RFC 7983). */
    if (size < 8 || data[0] < 128 || data[0] >= 192) return;
    int control = data[1] >= 192 && data[1] < 224;
    if (control) {
        if (plain || !swarm->unprotect_rtcp(member->receive, data, &size)) take_rtcp(member, data, size);
        return;
    }
    member->figures.datagrams_ever++;
    member->figures.datagrams++;
    if (member->drop_every && member->figures.datagrams_ever % (uint64_t)member->drop_every == 0) {
        member->figures.dropped++;
        return;
    }
    if (member->sink.extension) {
        int wide = transport_number(data, size, member->sink.extension);
        if (wide >= 0) note(&swarm->counts, &member->sink, wide, at / 1000);
    }
    if (!plain && swarm->unprotect(member->receive, data, &size)) {
        /* A replay as well: what the network doubled. */
        member->figures.refused++;
        return;
    }
    take_rtp(swarm, member, data, size, at);
}

static void read_member(struct swarm *swarm, struct member *member, struct mmsghdr *messages,
                        uint8_t (*buffers)[SIZE]) {
    int got;
    do {
        for (int i = 0; i < BATCH; i++) messages[i].msg_hdr.msg_controllen = CONTROL;
        got = recvmmsg(member->sink.fd, messages, BATCH, MSG_DONTWAIT, NULL);
        int64_t now = got > 0 ? real_ns() : 0, at = now;
        for (int i = 0; i < got; i++) {
            struct msghdr *header = &messages[i].msg_hdr;
            for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
                if (c->cmsg_level != SOL_SOCKET) continue;
                if (c->cmsg_type == SO_TIMESTAMPNS) {
                    struct timespec stamp;
                    memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
                    at = (int64_t)stamp.tv_sec * 1000000000 + stamp.tv_nsec;
                } else if (c->cmsg_type == SO_RXQ_OVFL) {
                    memcpy(&member->overflow, CMSG_DATA(c), 4);
                }
            }
            if (measuring(swarm, now)) record(swarm->late, now - at);
            take_datagram(swarm, member, buffers[i], (int)messages[i].msg_len, at, 0);
        }
    } while (got == BATCH);
    if (member->sink.extension && member->sink.span && real_ns() / 1000 - member->sink.told_us >= FEEDBACK_EVERY_US) {
        tell(&swarm->counts, &member->sink);
        member->sink.told_us = real_ns() / 1000;
    }
}

/* Generic NACK (RFC 4585, section 6.2.1) of all that is due; what was asked for often enough is given up. */
static void ask_again(struct member *member, int64_t now) {
    uint8_t packet[SIZE] = {0x81, 205};
    int at = 12, kept = 0;
    int64_t first = -1;
    for (int i = 0; i < member->missed; i++) {
        struct missing *one = &member->missing[i];
        if (one->due_us <= now && one->tries == TRIES) {
            member->wants_keyframe = 1;
            continue;
        }
        if (one->due_us <= now && at + 4 < 1200) {
            one->tries++;
            one->due_us = now + AGAIN_US;
            member->figures.nacked++;
            if (first >= 0 && one->sequence - first <= 16) {
                int bit = (int)(one->sequence - first) - 1;
                packet[at - 1 - bit / 8] |= (uint8_t)(1 << bit % 8);
            } else {
                first = one->sequence;
                put16(packet + at, (int)(first & 0xFFFF));
                put16(packet + at + 2, 0);
                at += 4;
            }
        }
        member->missing[kept++] = *one;
    }
    member->missed = kept;
    if (at == 12) return;
    put32(packet + 8, member->streams[VIDEO].ssrc);
    send_rtcp(member, packet, at);
}

/* Picture loss indication (RFC 4585, section 6.3.1). */
static void ask_keyframe(struct member *member, int64_t now) {
    uint8_t packet[64] = {0x81, 206};
    put32(packet + 8, member->streams[VIDEO].ssrc);
    send_rtcp(member, packet, 12);
    member->figures.keyframes_asked++;
    member->keyframe_asked_us = now;
}

/* Receiver report (RFC 3550, section 6.4.2), without a description as RFC 5506 allows where a=rtcp-rsize is agreed. */
static void report(struct member *member, int64_t now) {
    uint8_t packet[256] = {0x80, 201};
    int at = 8;
    for (int kind = 0; kind < STREAMS; kind++) {
        struct stream *stream = &member->streams[kind];
        if (!stream->started) continue;
        int64_t lost = stream->highest - stream->first + 1 - (int64_t)stream->all;
        int64_t expected = stream->highest - stream->told_highest, got = (int64_t)stream->all - stream->told_all;
        int64_t fraction = expected > got && expected > 0 ? (expected - got) * 256 / expected : 0;
        stream->told_highest = stream->highest;
        stream->told_all = (int64_t)stream->all;
        put32(packet + at, stream->ssrc);
        put32(packet + at + 4, (uint32_t)lost & 0xFFFFFF);
        packet[at + 4] = (uint8_t)(fraction > 255 ? 255 : fraction);
        put32(packet + at + 8, (uint32_t)(stream->highest - 65536));
        put32(packet + at + 12, (uint32_t)stream->jitter);
        put32(packet + at + 16, stream->report_mark);
        put32(packet + at + 20, stream->report_at ? (uint32_t)((now - stream->report_at) * 65536 / 1000000) : 0);
        at += 24;
        packet[0]++;
    }
    if (at == 8) return;
    send_rtcp(member, packet, at);
    member->figures.reports++;
}

static void tick(struct member *member, int64_t now) {
    if (member->missed) ask_again(member, now);
    int waits = member->wants_keyframe || !member->figures.keyframe_ns;
    if (waits && member->streams[VIDEO].started && now - member->keyframe_asked_us > KEYFRAME_US)
        ask_keyframe(member, now);
    if (now - member->reported_us > REPORT_US) {
        report(member, now);
        member->reported_us = now;
    }
}

static void *live(void *argument) {
    struct swarm *swarm = argument;
    static __thread uint8_t buffers[BATCH][SIZE];
    static __thread union { char bytes[CONTROL]; struct cmsghdr align; } controls[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    struct epoll_event events[256];
    int64_t ticked = 0;
    pin(swarm->core);
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){buffers[i], SIZE};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1,
                                                   .msg_control = controls[i].bytes}};
    }
    /* Looks by itself every so often instead of being woken, for the same reason as the other benchmark's sinks. */
    const struct timespec pause = {0, 500000};
    while (!swarm->stopping) {
        pthread_mutex_lock(&swarm->lock);
        int ready = epoll_wait(swarm->epoll, events, 256, 0);
        for (int e = 0; e < ready; e++) read_member(swarm, events[e].data.ptr, messages, buffers);
        int64_t now = now_us();
        if (now - ticked > TICK_US) {
            for (struct member *member = swarm->all; member; member = member->next) tick(member, now);
            ticked = now;
        }
        pthread_mutex_unlock(&swarm->lock);
        if (!ready) nanosleep(&pause, NULL);
    }
    return NULL;
}

struct swarm *swarm_open(int core, int64_t frozen_after_ns, void *unprotect, void *unprotect_rtcp) {
    struct swarm *swarm = calloc(1, sizeof *swarm);
    swarm->epoll = epoll_create1(0);
    swarm->core = core;
    swarm->frozen_after_ns = frozen_after_ns;
    swarm->unprotect = (int (*)(void *, void *, int *))unprotect;
    swarm->unprotect_rtcp = (int (*)(void *, void *, int *))unprotect_rtcp;
    pthread_mutex_init(&swarm->lock, NULL);
    pthread_create(&swarm->thread, NULL, live, swarm);
    return swarm;
}

/* `receive` and `transmit` are libsrtp's sessions, from now on nobody else's. With `extension` it sends transport-wide
 * feedback about that header extension; without `repairs` it asks for nothing again; of the datagrams with RTP each
 * `drop_every`th is thrown away unread. It is read from `swarm_start` on. */
struct member *swarm_add(struct swarm *swarm, int fd, int extension, void *receive, void *transmit, void *protect_rtcp,
                         const void *target, int audio, int video, int rtx, int repairs, int drop_every) {
    struct member *member = calloc(1, sizeof *member);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    member->sink.fd = fd;
    member->sink.extension = extension;
    member->sink.context = transmit;
    member->sink.protect_rtcp = (int (*)(void *, void *, int *))protect_rtcp;
    memcpy(&member->sink.target, target, sizeof member->sink.target);
    member->receive = receive;
    member->payload_types[AUDIO] = audio;
    member->payload_types[VIDEO] = video;
    member->rtx = rtx;
    member->repairs = repairs;
    member->drop_every = drop_every;
    member->number = -1;
    member->streams[AUDIO].clock = 48000;
    member->streams[VIDEO].clock = 90000;
    member->keyframe_asked_us = member->reported_us = now_us();
    for (int kind = 0; kind < STREAMS; kind++) {
        member->streams[kind].base = -1;
        member->streams[kind].end = INT64_MAX;
    }
    pthread_mutex_lock(&swarm->lock);
    member->next = swarm->all;
    swarm->all = member;
    pthread_mutex_unlock(&swarm->lock);
    return member;
}

/* Hands in what was read before: a datagram as it came, or decrypted already. */
void swarm_feed(struct swarm *swarm, struct member *member, const void *data, int size, int plain) {
    uint8_t copy[SIZE] __attribute__((aligned(8)));
    if (size > SIZE) return;
    memcpy(copy, data, (size_t)size);
    pthread_mutex_lock(&swarm->lock);
    take_datagram(swarm, member, copy, size, real_ns(), plain);
    pthread_mutex_unlock(&swarm->lock);
}

void swarm_start(struct swarm *swarm, struct member *member) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = member};
    epoll_ctl(swarm->epoll, EPOLL_CTL_ADD, member->sink.fd, &event);
}

void swarm_drop(struct swarm *swarm, struct member *member) {
    pthread_mutex_lock(&swarm->lock);
    epoll_ctl(swarm->epoll, EPOLL_CTL_DEL, member->sink.fd, NULL);
    for (struct member **link = &swarm->all; *link; link = &(*link)->next) {
        if (*link == member) {
            *link = member->next;
            break;
        }
    }
    pthread_mutex_unlock(&swarm->lock);
    free(member);
}

/* Begin to measure: all that is sent from now on. */
void swarm_begin(struct swarm *swarm) {
    pthread_mutex_lock(&swarm->lock);
    for (struct member *member = swarm->all; member; member = member->next) {
        int64_t keyframe_ns = member->figures.keyframe_ns;
        uint64_t ever = member->figures.datagrams_ever;
        member->figures = (struct figures){.keyframe_ns = keyframe_ns, .datagrams_ever = ever};
        member->overflow_before = member->overflow;
        for (int kind = 0; kind < STREAMS; kind++) {
            struct stream *stream = &member->streams[kind];
            stream->base = stream->started ? stream->highest + 1 : -1;
            stream->end = INT64_MAX;
            stream->unique = 0;
        }
    }
    memset(swarm->latency, 0, sizeof swarm->latency);
    memset(swarm->late, 0, sizeof swarm->late);
    swarm->from_ns = real_ns();
    swarm->until_ns = 0;
    pthread_mutex_unlock(&swarm->lock);
}

/* What is sent from now on does not count; what was sent may still arrive, late or repaired. */
void swarm_end(struct swarm *swarm) {
    pthread_mutex_lock(&swarm->lock);
    int64_t now = swarm->until_ns = real_ns();
    for (struct member *member = swarm->all; member; member = member->next) {
        for (int kind = 0; kind < STREAMS; kind++) member->streams[kind].end = member->streams[kind].highest;
        /* Frozen still. Who has never had a picture is not frozen, but has none: that shows in the frames. */
        int64_t gap = now - member->shown_ns;
        if (member->shown_ns && gap > swarm->frozen_after_ns) {
            member->figures.freezes++;
            member->figures.frozen_s += (double)gap / 1e9;
        }
    }
    pthread_mutex_unlock(&swarm->lock);
}

void swarm_window(struct swarm *swarm, int64_t *from_ns, int64_t *until_ns) {
    *from_ns = swarm->from_ns;
    *until_ns = swarm->until_ns;
}

void swarm_figures(struct swarm *swarm, struct member *member, struct figures *figures) {
    pthread_mutex_lock(&swarm->lock);
    *figures = member->figures;
    for (int kind = 0; kind < STREAMS; kind++) {
        struct stream *stream = &member->streams[kind];
        int64_t end = stream->end == INT64_MAX ? stream->highest : stream->end;
        if (!stream->started || end < stream->base) continue;
        uint64_t expected = (uint64_t)(end - stream->base + 1);
        figures->expected += expected;
        figures->lost += expected - stream->unique;
    }
    figures->overflowed = member->overflow - member->overflow_before;
    figures->jitter_ms = member->streams[VIDEO].jitter / 90;
    pthread_mutex_unlock(&swarm->lock);
}

/* Histograms of latency and of how late datagrams were read, in tenths of a millisecond. */
void swarm_histograms(struct swarm *swarm, uint32_t *latency, uint32_t *late) {
    pthread_mutex_lock(&swarm->lock);
    memcpy(latency, swarm->latency, sizeof swarm->latency);
    memcpy(late, swarm->late, sizeof swarm->late);
    pthread_mutex_unlock(&swarm->lock);
}

void swarm_close(struct swarm *swarm) {
    swarm->stopping = 1;
    pthread_join(swarm->thread, NULL);
    while (swarm->all) {
        struct member *member = swarm->all;
        swarm->all = member->next;
        free(member);
    }
    close(swarm->epoll);
    free(swarm);
}
