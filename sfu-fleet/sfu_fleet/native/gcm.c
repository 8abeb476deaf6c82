/* SRTP for what is sent, and SRTCP for what comes, with AES-GCM (RFC 7714): one call for a packet, to the cipher of
 * intel-ipsec-mb.
 *
 * libsrtp spends as long around the cipher as in it: it shifts a window of a thousand bits for each packet, and sets
 * OpenSSL's context up anew. What a sender needs of SRTP is little: which cycle a sequence number is of (RFC 3711, section
 * 3.3.1), the nonce, and the tag. Of what comes, feedback is nearly all: twenty packets a second of each viewer, whose
 * numbers are in the packets. Session keys are derived in gcm.py. The cipher is a library's; no key is ever printed.
 *
 * A context is used by one thread at a time, as libsrtp's session, and for one direction and kind. `gcm_protect` and
 * `gcm_unprotect_rtcp` do what libsrtp's srtp_protect and srtp_unprotect_rtcp do, byte for byte, and refuse what those
 * refuse: both planes' packets must be the same.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <intel-ipsec-mb.h>

enum {
    MAX_PACKET = 1900, /* as in dtls.py */
    FIXED_HEADER = 12,
    NONCE = 12,
    TAG = 16,
    WINDOW = 1024,  /* as REPLAY_WINDOW in dtls.py: nothing older than that is sent again */
    MEDIAN = 0x8000,
    STREAMS = 4,    /* of one peer, before there is need for more memory: sound, picture, and what is sent again of both */
    CACHE_LINE = 64,
    RTCP_HEADER = 8,
    RTCP_TRAILER = 4,   /* whether it is encrypted, and its number of 31 bits */
    RTCP_WINDOW = 128,  /* numbers back from the latest that are told apart from a replay, as by libsrtp */
    MAX_SOURCES = 256,  /* of one peer, who could think of more without end */
};

/* The numbers that libsrtp has for them. */
enum status { OK = 0, BAD_PARAMETER = 2, NO_MEMORY = 3, NOT_AUTHENTIC = 7, REPLAYED = 9, TOO_OLD = 10 };

struct stream {
    uint32_t ssrc;
    int64_t highest; /* the largest index so far: sequence number and cycles; of RTCP, its number; -1: none */
    uint64_t seen[2]; /* of RTCP: which of the latest numbers have come, the highest one in the lowest bit */
};

struct gcm {
    struct gcm_key_data key; /* aligned as the cipher likes it */
    aes_gcm_enc_dec_t encrypt, decrypt;
    uint8_t salt[NONCE];
    int count, capacity;
    struct stream *streams;
    struct stream first[STREAMS];
};

static IMB_MGR *manager;
static pthread_once_t opened = PTHREAD_ONCE_INIT;

/* Finds out which instructions there are; what it returns is only read from then on. */
static void open_manager(void) {
    IMB_MGR *made = alloc_mb_mgr(0);
    if (!made) return;
    init_mb_mgr_auto(made, NULL);
    if (imb_get_errno(made))
        free_mb_mgr(made);
    else
        manager = made;
}

/* A context for session keys of 16 or 32 bytes and a session salt of 12; NULL where there is none to be had. */
struct gcm *gcm_open(const uint8_t *key, int key_size, const uint8_t *salt) {
    pthread_once(&opened, open_manager);
    if (!manager || (key_size != 16 && key_size != 32)) return NULL;
    size_t size = (sizeof(struct gcm) + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    struct gcm *gcm = aligned_alloc(CACHE_LINE, size);
    if (!gcm) return NULL;
    memset(gcm, 0, size);
    if (key_size == 16) {
        IMB_AES128_GCM_PRE(manager, key, &gcm->key);
        gcm->encrypt = manager->gcm128_enc;
        gcm->decrypt = manager->gcm128_dec;
    } else {
        IMB_AES256_GCM_PRE(manager, key, &gcm->key);
        gcm->encrypt = manager->gcm256_enc;
        gcm->decrypt = manager->gcm256_dec;
    }
    memcpy(gcm->salt, salt, NONCE);
    gcm->streams = gcm->first;
    gcm->capacity = STREAMS;
    return gcm;
}

void gcm_close(struct gcm *gcm) {
    if (gcm->streams != gcm->first) free(gcm->streams);
    explicit_bzero(gcm, sizeof *gcm);
    free(gcm);
}

/* How much memory of a context a packet needs: who encrypts for many can have it fetched ahead. */
int gcm_size(void) { return (int)sizeof(struct gcm); }

static uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static struct stream *known_stream(struct gcm *gcm, uint32_t ssrc) {
    for (int i = 0; i < gcm->count; i++)
        if (gcm->streams[i].ssrc == ssrc) return &gcm->streams[i];
    return NULL;
}

static struct stream *new_stream(struct gcm *gcm, uint32_t ssrc) {
    if (gcm->count == gcm->capacity) {
        size_t size = (size_t)gcm->count * sizeof(struct stream);
        struct stream *grown = malloc(2 * size);
        if (!grown) return NULL;
        memcpy(grown, gcm->streams, size);
        if (gcm->streams != gcm->first) free(gcm->streams);
        gcm->streams = grown;
        gcm->capacity *= 2;
    }
    gcm->streams[gcm->count] = (struct stream){ssrc, -1, {0}};
    return &gcm->streams[gcm->count++];
}

/* Two bytes of 0, the SSRC as it is in the packet, and the packet's index in six bytes, with the salt. Of RTP that is cycle
 * and sequence number (RFC 7714, section 8.1), of RTCP the number of 31 bits (section 9.1). */
static void make_nonce(const struct gcm *gcm, const uint8_t *ssrc, int64_t index, uint8_t nonce[NONCE]) {
    memset(nonce, 0, 2);
    memcpy(nonce + 2, ssrc, 4);
    for (int i = 0; i < 6; i++) nonce[6 + i] = (uint8_t)(index >> (40 - 8 * i));
    for (int i = 0; i < NONCE; i++) nonce[i] ^= gcm->salt[i];
}

/* Which packet of the stream has this number (RFC 3711, section 3.3.1, and appendix A); in the first half of the first
 * cycle nothing can be of a cycle before. */
static int64_t index_of(const struct stream *stream, uint16_t number) {
    if (stream->highest <= MEDIAN) return number;
    int64_t index = (stream->highest & ~(int64_t)0xFFFF) | number, distance = index - stream->highest;
    if (distance > MEDIAN) return index - 0x10000;
    if (distance < -MEDIAN) return index + 0x10000;
    return index;
}

/* Encrypts an RTP packet where it lies, which has room for 16 bytes more, and makes `length` that of the result. 0, or
 * what libsrtp would answer. */
int gcm_protect(void *context, void *packet, int *length) {
    struct gcm *gcm = context;
    uint8_t *data = packet;
    int size = *length;
    if (size < FIXED_HEADER || size > MAX_PACKET || data[0] >> 6 != 2) return BAD_PARAMETER;
    int header = FIXED_HEADER + 4 * (data[0] & 15);
    if (data[0] & 0x10) {
        if (header + 4 > size) return BAD_PARAMETER;
        header += 4 + 4 * get16(data + header + 2);
    }
    if (header > size) return BAD_PARAMETER;
    uint32_t ssrc;
    memcpy(&ssrc, data + 8, sizeof ssrc);
    struct stream *stream = known_stream(gcm, ssrc);
    if (!stream) stream = new_stream(gcm, ssrc);
    if (!stream) return NO_MEMORY;
    int64_t index = index_of(stream, get16(data + 2));
    if (stream->highest >= 0 && index <= stream->highest - WINDOW) return TOO_OLD;
    if (index > stream->highest) stream->highest = index;
    uint8_t nonce[NONCE];
    make_nonce(gcm, data + 8, index, nonce);
    struct gcm_context_data work;
    gcm->encrypt(&gcm->key, &work, data + header, data + header, (uint64_t)(size - header), nonce, data, (uint64_t)header,
                 data + size, TAG);
    *length = size + TAG;
    return OK;
}

/* Whether a number has come before, or is too old to say (RFC 3711, section 3.3.2). */
static int replayed(const struct stream *stream, int64_t number) {
    int64_t behind = stream->highest - number;
    if (behind < 0) return OK;
    if (behind >= RTCP_WINDOW) return TOO_OLD;
    return stream->seen[behind / 64] >> behind % 64 & 1 ? REPLAYED : OK;
}

static void note(struct stream *stream, int64_t number) {
    int64_t ahead = number - stream->highest;
    if (ahead > 0) {
        if (stream->highest < 0 || ahead >= RTCP_WINDOW) {
            stream->seen[0] = stream->seen[1] = 0;
        } else {
            for (; ahead >= 64; ahead -= 64) {
                stream->seen[1] = stream->seen[0];
                stream->seen[0] = 0;
            }
            if (ahead) {
                stream->seen[1] = stream->seen[1] << ahead | stream->seen[0] >> (64 - ahead);
                stream->seen[0] <<= ahead;
            }
        }
        stream->highest = number;
    }
    int64_t behind = stream->highest - number;
    stream->seen[behind / 64] |= (uint64_t)1 << behind % 64;
}

/* Decrypts an RTCP compound where it lies and makes `length` that of the result; of one that is refused, the bytes may be
 * anything afterwards. 0, or what libsrtp would answer. */
int gcm_unprotect_rtcp(void *context, void *packet, int *length) {
    struct gcm *gcm = context;
    uint8_t *data = packet;
    int size = *length - TAG - RTCP_TRAILER; /* of the compound */
    if (size < RTCP_HEADER || *length > MAX_PACKET) return BAD_PARAMETER;
    const uint8_t *trailer = data + size + TAG;
    int encrypted = trailer[0] >> 7;
    int64_t number = (int64_t)(trailer[0] & 0x7F) << 24 | trailer[1] << 16 | trailer[2] << 8 | trailer[3];
    uint32_t ssrc;
    memcpy(&ssrc, data + 4, sizeof ssrc);
    struct stream *stream = known_stream(gcm, ssrc);
    int refused = stream ? replayed(stream, number) : OK;
    if (refused) return refused;
    if (!stream && gcm->count >= MAX_SOURCES) return NO_MEMORY;
    uint8_t nonce[NONCE], tag[TAG], clear[MAX_PACKET];
    make_nonce(gcm, data + 4, number, nonce);
    /* What is signed and not encrypted: the header, or the whole compound; and the trailer (RFC 7714, section 9.2). */
    int signed_size = encrypted ? RTCP_HEADER : size;
    memcpy(clear, data, (size_t)signed_size);
    memcpy(clear + signed_size, trailer, RTCP_TRAILER);
    struct gcm_context_data work;
    gcm->decrypt(&gcm->key, &work, data + signed_size, data + signed_size, (uint64_t)(size - signed_size), nonce, clear,
                 (uint64_t)(signed_size + RTCP_TRAILER), tag, TAG);
    uint8_t difference = 0;
    for (int i = 0; i < TAG; i++) difference |= (uint8_t)(tag[i] ^ data[size + i]);
    if (difference) return NOT_AUTHENTIC;
    /* Who cannot sign takes no memory. */
    if (!stream) stream = new_stream(gcm, ssrc);
    if (!stream) return NO_MEMORY;
    note(stream, number);
    *length = size;
    return OK;
}
