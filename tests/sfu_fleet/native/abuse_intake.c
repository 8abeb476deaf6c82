/* Calls the intake with random datagrams, addresses and numbers, for the sanitizers to watch.
 *
 * "Decryption" shortens a packet and refuses some: what matters is memory, not the cipher.
 */
#include "intake.c"

#include <stdio.h>
#include <unistd.h>

enum { PEERS = 40, SENDERS = 6, FOLLOWED = 4 };

static uint64_t state;

static uint32_t draw(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 20) % below;
}

static int unprotect(void *context, void *packet, int *length) {
    uint8_t *data = packet;
    if (*length < 20 || data[*length - 1] % 5 == 0) return 7;
    *length -= *(int *)context % 16 + 1;
    data[*length - 1] ^= 0xFF;
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    state = strtoull(argv[1], NULL, 10) * 0x9E3779B97F4A7C15u + 1;
    long calls = strtol(argv[2], NULL, 10);
    struct intake *intake = intake_open((void *)unprotect);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, senders[SENDERS];
    socklen_t size = sizeof here;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), sockets[SENDERS];
    if (bind(fd, (void *)&here, size) || getsockname(fd, (void *)&here, &size)) return 1;
    for (int i = 0; i < SENDERS; i++) {
        sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
        senders[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (bind(sockets[i], (void *)&senders[i], size) || getsockname(sockets[i], (void *)&senders[i], &size)) return 1;
    }
    int *contexts = calloc(PEERS, sizeof *contexts);
    uint8_t packet[4096];
    long read = 0, opened = 0, fed = 0;
    static struct departures departures[FOLLOWED];
    struct congestion *congestions[FOLLOWED];
    for (int i = 0; i < FOLLOWED; i++) {
        departures[i].next = SENT_LOG;
        for (int sent = 0; sent < 3000; sent++) departures_add(&departures[i], sent * 1000, draw(1500));
        congestions[i] = congestion_new();
    }
    for (long call = 0; call < calls; call++) {
        struct sockaddr_storage odd;
        for (size_t i = 0; i < sizeof odd; i++) ((uint8_t *)&odd)[i] = (uint8_t)draw(256);
        odd.ss_family = draw(3) ? AF_INET6 : (sa_family_t)draw(12);
        int peer = (int)draw(PEERS + 2) - 2;
        switch (draw(9)) {
            case 5: {
                int followed = (int)draw(FOLLOWED);
                intake_follow(intake, peer, draw(5) ? congestions[followed] : NULL, &departures[followed]);
                break;
            }
            case 0: intake_learn(intake, &senders[draw(SENDERS)], sizeof senders[0], peer); break;
            case 1: intake_learn(intake, &odd, (int)draw(129), peer); break;
            case 2: intake_forget(intake, &senders[draw(SENDERS)], sizeof senders[0]); break;
            case 3: intake_forget(intake, &odd, (int)draw(129)); break;
            case 4: {
                void *context = draw(4) ? &contexts[draw(PEERS)] : NULL;
                intake_agree(intake, draw(50) ? peer : (int)draw(5000), context, context, (void *)unprotect);
                break;
            }
            default: {
                for (uint32_t burst = draw(90); burst; burst--) {
                    size_t length = draw(20) ? draw(200) : draw(sizeof packet);
                    for (size_t i = 0; i < length; i++) packet[i] = (uint8_t)draw(256);
                    if (length && draw(2)) packet[0] = (uint8_t)(128 + draw(64));
                    if (length > 40 && draw(2)) {
                        /* Feedback, of a length that is right for one of the "contexts". */
                        packet[0] = 0x8F;
                        packet[1] = 205;
                        packet[2] = 0;
                        packet[3] = (uint8_t)((length - 1) / 4 - 1);
                        length = (size_t)packet[3] * 4 + 5;
                        packet[14] = 0;
                        packet[16] = 0;
                        packet[length - 1] = 1;
                    }
                    sendto(sockets[draw(SENDERS)], packet, length, MSG_DONTWAIT, (void *)&here, sizeof here);
                }
                const struct reading *reading = intake_reading(intake);
                if (intake_read(intake, fd) || reading->results < 0 || reading->results > BATCH) return 1;
                if (reading->fed < 0 || reading->datagrams < reading->results + reading->fed) return 1;
                read += reading->datagrams;
                fed += reading->fed;
                for (int i = 0; i < reading->results; i++) {
                    const struct result *result = &intake_results(intake)[i];
                    if (result->slot < 0 || result->slot >= BATCH || result->outcome == FED) return 1;
                    if (result->size < 0 || (result->size > SLOT && result->outcome != TOO_LONG)) return 1;
                    opened += result->outcome == RTP || result->outcome == RTCP;
                    fed += result->outcome == ESTIMATED;
                }
            }
        }
    }
    intake_close(intake);
    free(contexts);
    for (int i = 0; i < FOLLOWED; i++) congestion_free(congestions[i]);
    printf("%ld calls, %ld datagrams, %ld opened, %ld fed\n", calls, read, opened, fed);
    return read && opened && fed ? 0 : 1;
}
