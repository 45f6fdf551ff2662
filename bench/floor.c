/* The floor: the packets of N voicemail calls, received and sent in C and nothing else.
 *
 * floor PORT CALLS GREETING-PACKETS FILE: binds CALLS sockets on 127.0.0.1 from PORT on, every
 * second port. A call begins with its first packet; then its greeting leaves on a wheel of 1 ms
 * ticks, and every 200 ms one recvmmsg takes what came and one write appends it to FILE. Prints
 * "ready", then at SIGTERM how many packets it received and sent. No SIP, no decoding, no mail.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, SIZE = 256, DRAIN_MS = 200, PAYLOAD = 160, SLOTS = 20 };

typedef struct {
    int fd;
    int connected;
    int sent;
} call_t;

static volatile sig_atomic_t over;
static void stop(int signal_number) { (void)signal_number; over = 1; }

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int base = atoi(argv[1]), calls = atoi(argv[2]), greeting = atoi(argv[3]);
    int file = open(argv[4], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    call_t *all = calloc(calls, sizeof *all);
    struct sockaddr_in address = {.sin_family = AF_INET};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    for (int i = 0; i < calls; i++) {
        all[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        address.sin_port = htons(base + 2 * i);
        if (file < 0 || all[i].fd < 0 || bind(all[i].fd, (void *)&address, sizeof address)) {
            perror("floor");
            return 1;
        }
    }
    signal(SIGTERM, stop);
    printf("ready\n");
    fflush(stdout);

    static unsigned char rows[BATCH][SIZE], packet[12 + PAYLOAD];
    static struct sockaddr_in sources[BATCH];
    struct mmsghdr headers[BATCH];
    struct iovec parts[BATCH];
    memset(packet, 0xff, sizeof packet);
    packet[0] = 0x80;
    packet[1] = 0;
    long received = 0, sent = 0;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (long tick = 0; !over; tick++) {
        for (int i = (int)(tick % DRAIN_MS); i < calls; i += DRAIN_MS) {
            for (;;) {
                for (int k = 0; k < BATCH; k++) {
                    parts[k] = (struct iovec){rows[k], SIZE};
                    headers[k].msg_hdr = (struct msghdr){.msg_iov = &parts[k], .msg_iovlen = 1};
                    if (!all[i].connected) {
                        headers[k].msg_hdr.msg_name = &sources[k];
                        headers[k].msg_hdr.msg_namelen = sizeof sources[k];
                    }
                }
                int count = recvmmsg(all[i].fd, headers, BATCH, MSG_DONTWAIT, NULL);
                if (count <= 0) break;
                received += count;
                if (!all[i].connected) {
                    if (!connect(all[i].fd, (void *)&sources[0], sizeof sources[0]))
                        all[i].connected = 1;
                }
                for (int k = 0; k < count; k++) parts[k].iov_len = headers[k].msg_len;
                if (writev(file, parts, count) < 0) return 1;
                if (count < BATCH) break;
            }
        }
        for (int i = (int)(tick % SLOTS); i < calls; i += SLOTS) {
            call_t *call = &all[i];
            if (!call->connected || call->sent >= greeting) continue;
            unsigned k = (unsigned)call->sent++, stamp = htonl(k * PAYLOAD);
            packet[2] = k >> 8;
            packet[3] = k;
            memcpy(packet + 4, &stamp, 4);
            if (send(call->fd, packet, sizeof packet, MSG_DONTWAIT) > 0) sent++;
        }
        next.tv_nsec += 1000000;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    printf("%ld %ld\n", received, sent);
    return 0;
}
