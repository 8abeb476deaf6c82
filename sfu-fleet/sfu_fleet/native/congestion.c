/* The estimate of what the way to one viewer carries, from transport-wide feedback: sfu_fleet/congestion in C, with the
 * same sums in the same order, so that both give the same doubles (compile with -ffp-contract=off). What the numbers
 * mean and where they come from is said there; a differential test holds the two together.
 *
 * Used by one thread at a time. It does not allocate but for the state itself.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "congestion.h"

enum {
    FORMAT = 15,
    TRANSPORT_FEEDBACK = 205,
    HEAD = 20, /* RTCP header, SSRCs, base, count, reference time */
    MAX_TOLD = 2048,
    TICKS_PER_REFERENCE = 256,
    REFERENCES = 1 << 24,
    WINDOW = 20,
    MAX_GROUPS = 60,
    BUCKETS = 10,
    LOSS_PACKETS = 20,
    PROBE_PACKETS = 4,
};

/* An estimate that has fallen by this share may be told at once: OVERUSE_FALL of adaptation.py. */
static const double FALL = 0.03;

/* What Python reads. */
struct estimate {
    double bitrate, acknowledged, loss;
    int64_t acknowledged_bytes, highest;
    int32_t signal, feedbacks, refused, decreases;
};

enum signal { UNDERUSE = -1, NORMAL = 0, OVERUSE = 1 };

struct acknowledged {
    double rate, arrived;
    int64_t total, bytes[BUCKETS], bucket, first;
};

struct groups {
    double first_sent, last_sent, first_arrived, last_arrived, previous_sent, previous_arrived;
    int count;
};

struct trendline {
    enum signal signal;
    double threshold, trend, accumulated, smoothed, began, slope, previous_slope, over_ms, adapted_at;
    double times[WINDOW], delays[WINDOW];
    int64_t groups;
    int over_count;
};

struct rate_control {
    double rate, updated_at, decreased_at, capacity, deviation;
    int holding;
    int32_t decreases;
};

struct loss_based {
    double limit, loss, began;
    int64_t lost, received;
};

struct telling {
    double told, below;
    int64_t told_us, every_us;
};

struct congestion {
    struct acknowledged acknowledged;
    struct groups groups;
    struct trendline trend;
    struct rate_control rate;
    struct loss_based loss;
    double rtt, bitrate;
    int32_t feedbacks, refused;
    int64_t highest, reference;
    struct telling telling;
    uint32_t arrivals[SENT_LOG];
};

static double least(double a, double b) { return b < a ? b : a; }
static double greatest(double a, double b) { return b > a ? b : a; }

/* -- the log of what was sent ------------------------------------------------------------------------------------- */

static int64_t log_next(const struct departures *sent) {
    return (int64_t)__atomic_load_n(&sent->next, __ATOMIC_ACQUIRE);
}

/* Whether a packet is still known; when it went out in microseconds, on the clock of `now_us`, and its bytes. */
static int log_find(const struct departures *sent, int64_t number, int64_t now_us, int64_t *at, int64_t *size) {
    uint64_t entry = __atomic_load_n(&sent->entries[number & (SENT_LOG - 1)], __ATOMIC_ACQUIRE);
    uint64_t tag = (uint64_t)number >> SENT_PLACE_BITS << (SENT_TIME_BITS + SENT_SIZE_BITS);
    if (number < SENT_LOG || entry >> (SENT_TIME_BITS + SENT_SIZE_BITS) != tag >> (SENT_TIME_BITS + SENT_SIZE_BITS))
        return 0;
    /* The loop's clock stands still while the loop works, so a packet may seem to be of the near future. */
    int64_t latest = now_us + 1000000;
    int64_t mask = ((int64_t)1 << SENT_TIME_BITS) - 1;
    *at = latest - ((latest - (int64_t)(entry & (uint64_t)mask)) & mask);
    *size = (int64_t)(entry >> SENT_TIME_BITS & ((1 << SENT_SIZE_BITS) - 1));
    return 1;
}

/* -- acknowledged.py ---------------------------------------------------------------------------------------------- */

static void acknowledged_note(struct acknowledged *state, double arrived, int64_t size) {
    state->total += size;
    int64_t bucket = (int64_t)(arrived / 50.0);
    if (state->bucket < 0) {
        state->first = state->bucket = bucket;
    } else if (bucket > state->bucket) {
        int64_t missed = state->bucket + 1 > bucket - BUCKETS + 1 ? state->bucket + 1 : bucket - BUCKETS + 1;
        for (; missed <= bucket; missed++) state->bytes[missed % BUCKETS] = 0;
        state->bucket = bucket;
    }
    if (bucket <= state->bucket - BUCKETS) return;
    state->arrived = greatest(state->arrived, arrived);
    state->bytes[bucket % BUCKETS] += size;
}

static void acknowledged_update(struct acknowledged *state) {
    if (state->bucket - state->first < BUCKETS) return;
    int64_t total = 0;
    for (int i = 0; i < BUCKETS; i++) total += state->bytes[i];
    double span = (BUCKETS - 1) * 50.0 + (state->arrived - (double)state->bucket * 50.0);
    state->rate = greatest((double)total * 8000.0 / span, 0.5 * state->rate);
}

/* -- groups.py ---------------------------------------------------------------------------------------------------- */

static void groups_begin(struct groups *state, double sent, double arrived) {
    state->first_sent = state->last_sent = sent;
    state->first_arrived = state->last_arrived = arrived;
}

static int groups_belongs(const struct groups *state, double sent, double arrived) {
    if (sent - state->first_sent <= 5.0) return 1;
    double between = arrived - state->last_arrived;
    return between <= 5.0 && between - (sent - state->last_sent) < 0.0 && arrived - state->first_arrived < 100.0;
}

static int groups_note(struct groups *state, double sent, double arrived, double *sent_delta, double *arrived_delta) {
    if (state->count == 0) {
        groups_begin(state, sent, arrived);
        state->count = 1;
        return 0;
    }
    if (sent < state->first_sent) return 0;
    if (groups_belongs(state, sent, arrived)) {
        state->last_sent = greatest(state->last_sent, sent);
        state->last_arrived = greatest(state->last_arrived, arrived);
        return 0;
    }
    int found = 0;
    if (state->count == 2) {
        *sent_delta = state->last_sent - state->previous_sent;
        *arrived_delta = state->last_arrived - state->previous_arrived;
        if (fabs(*arrived_delta - *sent_delta) > 3000.0) {
            groups_begin(state, sent, arrived);
            state->count = 1;
            return 0;
        }
        found = 1;
    }
    state->previous_sent = state->last_sent;
    state->previous_arrived = state->last_arrived;
    state->count = 2;
    groups_begin(state, sent, arrived);
    return found;
}

/* -- trendline.py ------------------------------------------------------------------------------------------------- */

static double trend_fit(const struct trendline *state) {
    double time_sum = 0.0, delay_sum = 0.0;
    for (int i = 0; i < WINDOW; i++) {
        time_sum += state->times[i];
        delay_sum += state->delays[i];
    }
    double time_mean = time_sum / WINDOW, delay_mean = delay_sum / WINDOW;
    double above = 0.0, below = 0.0;
    for (int i = 0; i < WINDOW; i++) {
        double distance = state->times[i] - time_mean;
        above += distance * (state->delays[i] - delay_mean);
        below += distance * distance;
    }
    return below > 0.0 ? above / below : state->slope;
}

static void trend_adapt(struct trendline *state, double arrived) {
    double size = fabs(state->trend);
    if (state->adapted_at < 0.0) state->adapted_at = arrived;
    if (size <= state->threshold + 15.0) {
        double gain = size < state->threshold ? 0.039 : 0.0087;
        double step = least(greatest(arrived - state->adapted_at, 0.0), 100.0);
        state->threshold += gain * (size - state->threshold) * step;
        state->threshold = least(greatest(state->threshold, 6.0), 600.0);
    }
    state->adapted_at = arrived;
}

static void trend_update(struct trendline *state, double sent_delta, double arrived_delta, double arrived) {
    if (state->groups == 0) state->began = arrived;
    state->accumulated += arrived_delta - sent_delta;
    state->smoothed = 0.9 * state->smoothed + (1.0 - 0.9) * state->accumulated;
    int place = (int)(state->groups % WINDOW);
    state->times[place] = arrived - state->began;
    state->delays[place] = state->smoothed;
    state->groups++;
    if (state->groups >= WINDOW) state->slope = trend_fit(state);
    if (state->groups < 2) return;
    int groups = state->groups < MAX_GROUPS ? (int)state->groups : MAX_GROUPS;
    state->trend = groups * state->slope * 4.0;
    if (state->trend > state->threshold) {
        state->over_ms = state->over_ms < 0.0 ? sent_delta / 2.0 : state->over_ms + sent_delta;
        state->over_count++;
        if (state->over_ms > 10.0 && state->over_count > 1 && state->slope >= state->previous_slope) {
            state->over_ms = 0.0;
            state->over_count = 0;
            state->signal = OVERUSE;
        }
    } else {
        state->over_ms = -1.0;
        state->over_count = 0;
        state->signal = state->trend < -state->threshold ? UNDERUSE : NORMAL;
    }
    state->previous_slope = state->slope;
    trend_adapt(state, arrived);
}

/* -- rate_control.py ---------------------------------------------------------------------------------------------- */

static const double RATE_MIN = 30000.0, RATE_MAX = 100000000.0;

static double capacity_upper(const struct rate_control *state) {
    return state->capacity + 3.0 * sqrt(state->deviation * state->capacity);
}

static double capacity_lower(const struct rate_control *state) {
    return greatest(0.0, state->capacity - 3.0 * sqrt(state->deviation * state->capacity));
}

static void capacity_note(struct rate_control *state, double kbps) {
    if (state->capacity >= 0.0 && !(capacity_lower(state) <= kbps && kbps <= capacity_upper(state)))
        state->capacity = -1.0;
    if (state->capacity < 0.0) {
        state->capacity = kbps;
        state->deviation = 0.4;
        return;
    }
    state->capacity = (1.0 - 0.05) * state->capacity + 0.05 * kbps;
    double error = state->capacity - kbps;
    double norm = greatest(state->capacity, 1.0);
    state->deviation = (1.0 - 0.05) * state->deviation + 0.05 * error * error / norm;
    state->deviation = least(greatest(state->deviation, 0.4), 2.5);
}

static void rate_increase(struct rate_control *state, double acknowledged, double seconds, double rtt) {
    if (state->capacity >= 0.0 && acknowledged / 1000.0 > capacity_upper(state)) state->capacity = -1.0;
    double grown;
    if (state->capacity >= 0.0) {
        double frame = state->rate / 30.0;
        double packets = (double)((int64_t)(frame / 9600.0) + 1);
        grown = state->rate + greatest(4000.0, frame / packets * 1000.0 / (rtt + 100.0)) * seconds;
    } else {
        grown = state->rate * (1.0 + 0.08 * seconds);
    }
    if (acknowledged > 0.0) {
        grown = least(grown, greatest(state->rate, 1.5 * acknowledged + 10000.0));
        grown = greatest(grown, 0.85 * acknowledged);
    }
    state->rate = least(grown, RATE_MAX);
}

static void rate_decrease(struct rate_control *state, double acknowledged, double now, double rtt) {
    double settle = least(greatest(rtt, 10.0), 200.0);
    int settling = state->decreased_at >= 0.0 && now - state->decreased_at < settle;
    if (settling && !(0.0 < acknowledged && acknowledged < 0.5 * state->rate)) return;
    double carried = acknowledged > 0.0 ? acknowledged : state->rate;
    state->rate = greatest(RATE_MIN, least(state->rate, 0.85 * carried));
    if (acknowledged > 0.0) capacity_note(state, acknowledged / 1000.0);
    state->holding = 1;
    state->decreased_at = now;
    state->decreases++;
}

static void rate_update(struct rate_control *state, enum signal signal, double acknowledged, double now, double rtt) {
    if (signal == OVERUSE)
        rate_decrease(state, acknowledged, now, rtt);
    else if (signal == UNDERUSE)
        state->holding = 1;
    else if (state->holding)
        state->holding = 0;
    else
        rate_increase(state, acknowledged, least(greatest(now - state->updated_at, 0.0), 1000.0) / 1000.0, rtt);
    state->updated_at = now;
}

/* -- loss_based.py ------------------------------------------------------------------------------------------------ */

static void loss_update(struct loss_based *state, double delay_based, double acknowledged, double now) {
    if (state->began < 0.0) state->began = now;
    int64_t expected = state->lost + state->received;
    if (expected < LOSS_PACKETS || now - state->began < 500.0) return;
    state->loss = (double)(state->lost > 0 ? state->lost : 0) / (double)expected;
    state->lost = state->received = 0;
    state->began = now;
    if (state->loss > 0.10) {
        double before = 0.0 < state->limit && state->limit < delay_based ? state->limit : delay_based;
        state->limit = greatest(greatest(30000.0, before * (1.0 - 0.5 * state->loss)), 0.85 * acknowledged);
    } else if (state->loss < 0.02 && state->limit > 0.0) {
        state->limit *= 1.05;
    }
    if (state->limit >= delay_based) state->limit = 0.0;
}

/* -- feedback: transport_feedback.py ------------------------------------------------------------------------------ */

struct feedback {
    int base, count, reference;
    const uint8_t *deltas;
    uint8_t symbols[MAX_TOLD + 14];
};

static int get16(const uint8_t *at) { return at[0] << 8 | at[1]; }

/* 0; -1 where the packet breaks the format. */
static int parse(const uint8_t *packet, int size, struct feedback *out) {
    if (size < HEAD || (packet[0] & 0xDF) != (0x80 | FORMAT) || packet[1] != TRANSPORT_FEEDBACK) return -1;
    if (size != 4 + 4 * get16(packet + 2)) return -1;
    int end = size;
    if (packet[0] & 0x20) {
        int padding = packet[size - 1];
        if (padding == 0 || padding > size - HEAD) return -1;
        end -= padding;
    }
    out->base = get16(packet + 12);
    out->count = get16(packet + 14);
    out->reference = packet[16] << 16 | packet[17] << 8 | packet[18];
    if (out->count == 0 || out->count > MAX_TOLD) return -1;
    int at = HEAD, known = 0;
    while (known < out->count) {
        if (at + 2 > end) return -1;
        int chunk = get16(packet + at);
        at += 2;
        if (!(chunk & 0x8000)) {
            int run = chunk & 0x1FFF;
            if (run == 0) return -1;
            if (run > out->count - known) run = out->count - known;
            memset(out->symbols + known, chunk >> 13 & 3, (size_t)run);
            known += run;
        } else if (chunk & 0x4000) {
            for (int i = 0; i < 7; i++) out->symbols[known++] = (uint8_t)(chunk >> (12 - 2 * i) & 3);
        } else {
            for (int i = 0; i < 14; i++) out->symbols[known++] = (uint8_t)(chunk >> (13 - i) & 1);
        }
    }
    out->deltas = packet + at;
    for (int i = 0; i < out->count; i++) {
        if (out->symbols[i] == 3) return -1;
        at += out->symbols[i];
    }
    return at > end || end - at >= 4 ? -1 : 0;
}

/* -- estimator.py ------------------------------------------------------------------------------------------------- */

static int64_t extend(struct congestion *state, int reference) {
    int64_t step = ((int64_t)reference - state->reference) & (REFERENCES - 1);
    state->reference += step >= REFERENCES / 2 && state->feedbacks > 1 ? step - REFERENCES : step;
    if (state->reference < REFERENCES) state->reference += REFERENCES;
    return state->reference;
}

static void advance(struct congestion *state, int64_t number) {
    int64_t missed = state->highest + 1 > number - SENT_LOG + 1 ? state->highest + 1 : number - SENT_LOG + 1;
    for (; missed <= number; missed++) state->arrivals[missed & (SENT_LOG - 1)] = 0;
    state->highest = number;
}

static void combine(struct congestion *state) {
    double rate = state->rate.rate, limit = state->loss.limit;
    state->bitrate = limit > 0.0 ? least(rate, limit) : rate;
}

struct congestion *congestion_new(void) {
    struct congestion *state = calloc(1, sizeof *state);
    if (!state) return NULL;
    state->acknowledged.bucket = state->acknowledged.first = -1;
    state->trend.threshold = 12.5;
    state->trend.over_ms = state->trend.adapted_at = -1.0;
    state->rate.rate = state->bitrate = 500000.0;
    state->rate.holding = 1;
    state->rate.decreased_at = state->rate.capacity = -1.0;
    state->rate.deviation = 0.4;
    state->loss.began = -1.0;
    state->rtt = 200.0;
    state->highest = -1;
    state->telling = (struct telling){0.0, INFINITY, INT64_MIN / 2, 200000};
    return state;
}

void congestion_free(struct congestion *state) { free(state); }

void congestion_note_rtt(struct congestion *state, double rtt) { state->rtt = rtt; }

/* Takes a whole RTCP packet; the estimate in bit/s, or 0.0 where it is malformed, which changes nothing but the count of
 * such. */
double congestion_feed(struct congestion *state, const struct departures *sent, const uint8_t *packet, int size,
                       int64_t now_us) {
    struct feedback feedback;
    if (parse(packet, size, &feedback)) {
        state->refused++;
        return 0.0;
    }
    state->feedbacks++;
    double now = (double)now_us / 1000.0;
    int64_t tick = extend(state, feedback.reference) * TICKS_PER_REFERENCE;
    int64_t next = log_next(sent);
    int64_t base = next - 1 - ((next - 1 - feedback.base) & 0xFFFF);
    const uint8_t *deltas = feedback.deltas;
    int64_t lost = 0, received = 0;
    for (int i = 0; i < feedback.count; i++) {
        int64_t number = base + i;
        if (feedback.symbols[i] == 1) {
            tick += deltas[0];
        } else if (feedback.symbols[i] == 2) {
            tick += (int16_t)get16(deltas);
        }
        deltas += feedback.symbols[i];
        if (number >= next) break;
        if (number < next - SENT_LOG) continue;
        int fresh = number > state->highest;
        if (fresh) advance(state, number);
        if (feedback.symbols[i] == 0) {
            lost += fresh;
            continue;
        }
        uint32_t *arrival = &state->arrivals[number & (SENT_LOG - 1)];
        int64_t at, bytes;
        if (number <= state->highest - SENT_LOG || *arrival || !log_find(sent, number, now_us, &at, &bytes)) continue;
        received++;
        lost -= !fresh;
        *arrival = (uint32_t)tick ? (uint32_t)tick : 1;
        double arrived = (double)tick * 0.25, sent_delta, arrived_delta;
        acknowledged_note(&state->acknowledged, arrived, bytes);
        if (groups_note(&state->groups, (double)at / 1000.0, arrived, &sent_delta, &arrived_delta))
            trend_update(&state->trend, sent_delta, arrived_delta, arrived);
    }
    if (received) {
        acknowledged_update(&state->acknowledged);
        rate_update(&state->rate, state->trend.signal, state->acknowledged.rate, now, state->rtt);
    }
    state->loss.lost += lost;
    state->loss.received += received;
    loss_update(&state->loss, state->rate.rate, state->acknowledged.rate, now);
    combine(state);
    return state->bitrate;
}

/* What a probe found in bit/s, of which the packets from `first` up to `end` were; 0.0: nothing for sure. */
double congestion_probed(const struct congestion *state, const struct departures *sent, int64_t first, int64_t end,
                         int64_t now_us) {
    int64_t sent_first = 0, sent_last = 0, sent_bytes = 0, last_size = 0, arrived_bytes = 0, first_size = 0;
    int packets = 0;
    uint32_t earliest = 0, latest = 0;
    for (int64_t number = first; number < end; number++) {
        int64_t at, bytes;
        if (number < 0 || !log_find(sent, number, now_us, &at, &bytes)) return 0.0;
        sent_bytes += bytes;
        if (number == first) sent_first = at;
        sent_last = at;
        last_size = bytes;
        int told = state->highest - SENT_LOG < number && number <= state->highest;
        uint32_t arrival = told ? state->arrivals[number & (SENT_LOG - 1)] : 0;
        if (!arrival) continue;
        if (packets == 0) {
            earliest = arrival;
            first_size = bytes;
        }
        if (packets == 0 || (int32_t)(arrival - earliest) > (int32_t)(latest - earliest)) latest = arrival;
        packets++;
        arrived_bytes += bytes;
    }
    double sent_ms = (double)(sent_last - sent_first) / 1000.0;
    double arrived_ms = (double)(int32_t)(latest - earliest) * 0.25;
    if (packets < PROBE_PACKETS || (double)arrived_bytes < 0.8 * (double)sent_bytes) return 0.0;
    if (!(0.0 < sent_ms && sent_ms <= 1000.0 && 0.0 < arrived_ms && arrived_ms <= 1000.0)) return 0.0;
    double sent_rate = (double)(sent_bytes - last_size) * 8000.0 / sent_ms;
    double arrived_rate = (double)(arrived_bytes - first_size) * 8000.0 / arrived_ms;
    if (arrived_rate > 2.0 * sent_rate) return 0.0;
    if (arrived_rate < 0.9 * sent_rate) return 0.95 * arrived_rate;
    return least(sent_rate, arrived_rate);
}

/* Takes what a probe found for the estimate, where it is more. */
void congestion_raise_to(struct congestion *state, double bitrate) {
    struct rate_control *rate = &state->rate;
    if (bitrate > rate->rate) {
        rate->rate = least(bitrate, RATE_MAX);
        if (rate->capacity >= 0.0 && bitrate / 1000.0 > capacity_upper(rate)) rate->capacity = -1.0;
    }
    if (0.0 < state->loss.limit && state->loss.limit < bitrate) state->loss.limit = bitrate;
    combine(state);
}

/* -- telling.py --------------------------------------------------------------------------------------------------- */

void congestion_attend(struct congestion *state, double below, int64_t every_us) {
    state->telling.below = below;
    state->telling.every_us = every_us;
}

int congestion_due(struct congestion *state, int64_t now_us) {
    struct telling *telling = &state->telling;
    double bitrate = state->bitrate;
    int fell = bitrate < telling->told * (1.0 - FALL) && bitrate < telling->below;
    if (!fell && now_us - telling->told_us < telling->every_us) return 0;
    telling->told = bitrate;
    telling->told_us = now_us;
    return 1;
}

void congestion_estimate(const struct congestion *state, struct estimate *out) {
    *out = (struct estimate){
        state->bitrate,          state->acknowledged.rate, state->loss.loss,  state->acknowledged.total, state->highest,
        (int32_t)state->trend.signal, state->feedbacks,    state->refused,    state->rate.decreases,
    };
}

/* For whoever numbers packets without the plane's thread. */
int congestion_departed(struct departures *sent, int64_t now_us, int size) {
    return departures_add(sent, now_us, size > 0 ? (unsigned)size : 0);
}

void congestion_departed_probe(struct departures *sent) { departures_probed(sent); }
