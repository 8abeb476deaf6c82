/* Encrypts and decrypts random packets, well formed and not, under the sanitizers of the compiler.
 *
 * Usage: abuse_gcm SEED ITERATIONS. The last line says what was done.
 */
#include "gcm.c"

#include <stdio.h>

enum { CONTEXTS = 5 };

static uint64_t state;

static uint32_t draw(uint32_t below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(state >> 33) % below;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    state = strtoull(argv[1], NULL, 10);
    long iterations = strtol(argv[2], NULL, 10), taken = 0, refused = 0;
    struct gcm *contexts[CONTEXTS] = {0};
    uint8_t key[32], salt[NONCE];
    for (long i = 0; i < iterations; i++) {
        struct gcm **at = &contexts[draw(CONTEXTS)];
        if (!*at || !draw(500)) {
            if (*at) gcm_close(*at);
            for (size_t n = 0; n < sizeof key; n++) key[n] = (uint8_t)draw(256);
            for (size_t n = 0; n < sizeof salt; n++) salt[n] = (uint8_t)draw(256);
            if (gcm_open(key, 24, salt)) return 1;
            *at = gcm_open(key, draw(2) ? 16 : 32, salt);
            if (!*at) return 1;
        }
        /* As much memory as the packet and its tag take, and no more. */
        int size = draw(10) ? (int)draw(1500) + 12 : (int)draw(MAX_PACKET + 40), length = size;
        int rtcp = !draw(3);
        uint8_t *packet = malloc((size_t)size + (rtcp ? 0 : TAG));
        for (int n = 0; n < size; n++) packet[n] = (uint8_t)draw(256);
        if (size > 11 && draw(20)) packet[0] = (uint8_t)(0x80 | (draw(4) ? 0 : draw(64)));
        if (size > 11 && draw(20)) memset(packet + 8, (int)draw(9), 4);
        if (rtcp) {
            /* Nobody has signed it. */
            if (!gcm_unprotect_rtcp(*at, packet, &length) || length != size) return 1;
            refused++;
        } else if (gcm_protect(*at, packet, &length)) {
            refused++;
            if (length != size) return 1;
        } else {
            taken++;
            if (length != size + TAG) return 1;
        }
        free(packet);
    }
    for (int c = 0; c < CONTEXTS; c++)
        if (contexts[c]) gcm_close(contexts[c]);
    printf("%ld packets, %ld encrypted, %ld refused\n", iterations, taken, refused);
    return taken && refused ? 0 : 1;
}
