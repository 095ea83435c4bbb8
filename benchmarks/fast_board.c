/* A printer board for measurements: Marlin's line protocol, the times of a wire and of a planner, nothing else.
 *
 * It costs so little that it never limits what is measured, and it keeps time by its own events: waking up late does
 * not change what the board would have done. Heaters are always where they were told to be, and nothing moves. For
 * behaviour use `fabunit simulate`.
 *
 * Prints one JSON object a line: first {"event":"ready","port":...}. Understands on stdin:
 *   job N       begin to count; {"event":"done",...} follows when N moves (G0, G1) have been accepted by the planner
 *   watch PID   take the CPU time of this process at the first and at the last move of a job
 *   stats       {"event":"stats",...} now
 * It ends with stdin. A move that comes after the port had been closed and opened again: {"event":"reopened","t":...},
 * CLOCK_MONOTONIC.
 *
 * Simplified on purpose: the receive ring is filled and emptied by whole lines; a line that does not fit is lost whole.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "job_figures.h"
#include "board_options.h"

#define NEVER INT64_MAX
#define LINES 4096      /* lines between the host's write and their execution; a power of two */
#define TEXT 256
#define REPLIES 8192    /* replies on their way to the host; a power of two */
#define BACKLOG 16384   /* bytes on the wire after which reading stops, as a driver's buffer would */

struct line { ns at; unsigned size; bool dead; char text[TEXT]; };
struct reply { ns at; unsigned size; bool ok; char text[TEXT]; };

/* One queue, four stages: [head, taken) command slots, [taken, arrived) receive ring, [arrived, tail) wire. */
static struct line queue[LINES];
static unsigned head, taken, arrived, tail;
static unsigned used_slots, ring_bytes, wire_bytes;
static char partial[TEXT];
static unsigned partial_size;
static ns wire_clock, byte_ns, busy_until, blocked_until;

static struct reply replies[REPLIES];
static unsigned reply_head, reply_tail, reply_written;
static ns reply_clock;

static ns ends[PLANNER_MOST], last_end;
static unsigned first_move, moves_queued;

static int master;
static bool is_open, reopened;
static long last_number;
static double hotend, bed;
static ns report_every, report_at = NEVER;

static void say(ns at, const char *format, ...)
{
    struct reply *reply = &replies[reply_tail % REPLIES];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(reply->text, TEXT - 1, format, arguments);
    va_end(arguments);
    if (size > TEXT - 2) size = TEXT - 2;
    reply->text[size++] = '\n';
    reply->size = (unsigned)size;
    reply->ok = !strncmp(reply->text, "ok", 2);
    if (reply_clock < at) reply_clock = at;
    reply_clock += size * byte_ns;
    reply->at = reply_clock + (ns)(option.latency_ms * MS);
    if (reply_tail - reply_head < REPLIES) reply_tail++;
}

/* -- the firmware --------------------------------------------------------------------------------------------- */

static double word(const char *text, char letter, double otherwise)
{
    const char *at = strchr(text, letter);
    return at ? atof(at + 1) : otherwise;
}

static void refuse(ns at, const char *why)
{
    job.refused++;
    say(at, "Error:%s, Last Line: %ld", why, last_number);
    for (unsigned i = taken; i != arrived; i++)            /* Marlin throws its receive ring away */
        queue[i % LINES].dead = true;
    ring_bytes = 0;
    say(at, "Resend: %ld", last_number + 1);
    say(at, "ok");
}

/* Number and checksum; the command is left in `text`. False when the line does not get a command slot. */
static bool check(ns at, char *text)
{
    char *comment = strchr(text, ';');
    if (comment) *comment = 0;
    if (*text != 'N') return *text != 0;
    char *star = strrchr(text, '*'), *setting = strstr(text, "M110");
    long number = strtol(text + 1, NULL, 10);
    if (!setting && number != last_number + 1) {
        if (number != last_number && number != last_number - 1)  /* those two are dropped in silence since 2.1.2 */
            refuse(at, "Line Number is not Last Line Number+1");
        return false;
    }
    uint8_t sum = 0;
    for (char *c = text; c < star; c++) sum ^= (uint8_t)*c;
    if (!star || strtol(star + 1, NULL, 10) != sum) {
        refuse(at, star ? "checksum mismatch" : "No Checksum with line number");
        return false;
    }
    *star = 0;
    last_number = setting ? (long)word(setting, 'N', (double)number) : number;
    char *command = text + 1 + strspn(text + 1, "-0123456789");
    command += strspn(command, " ");
    memmove(text, command, strlen(command) + 1);
    return true;
}

static void say_temperatures(ns at, const char *before)
{
    say(at, "%s T:%.2f /%.2f B:%.2f /%.2f @:0 B@:0", before, hotend ? hotend : 21, hotend, bed ? bed : 21, bed);
}

static void m_code(ns at, const char *text)
{
    switch (atoi(text + 1)) {
    case 105: say_temperatures(at, "ok"); return;
    case 104: case 109: hotend = word(text, 'S', hotend); break;
    case 140: case 190: bed = word(text, 'S', bed); break;
    case 110: last_number = (long)word(text, 'N', (double)last_number); break;
    case 114: say(at, "X:0.00 Y:0.00 Z:0.00 E:0.00 Count X:0 Y:0 Z:0"); break;
    case 115:
        say(at, "FIRMWARE_NAME:Marlin 2.1.2 (fast board) PROTOCOL_VERSION:1.0 MACHINE_TYPE:Bench EXTRUDER_COUNT:1");
        say(at, "Cap:AUTOREPORT_TEMP:1");
        say(at, "Cap:EMERGENCY_PARSER:1");
        break;
    case 155:
        report_every = (ns)(word(text, 'S', 0) * 1e9);
        report_at = report_every ? at + report_every : NEVER;
        break;
    default: break;
    }
    say(at, "ok");
}

static bool is_move(const char *text) { return text[0] == 'G' && (text[1] == '0' || text[1] == '1') && text[2] == ' '; }

/* When the planner lets this command in: `at` for at once. */
static ns planner_free(ns at, const char *text)
{
    while (moves_queued && ends[first_move % PLANNER_MOST] <= at) first_move++, moves_queued--;
    if (!moves_queued) return at;
    if (is_move(text)) return moves_queued < option.planner ? at : ends[first_move % PLANNER_MOST];
    bool waits = *text == 'G' || !strncmp(text, "M400", 4) || !strncmp(text, "M109", 4) || !strncmp(text, "M190", 4);
    return waits ? last_end : at;
}

static void plan(ns at)
{
    if (!moves_queued && last_end && last_end < at && is_counting()) {
        job.starved++;
        job.starved_ns += at - last_end;
    }
    last_end = (last_end > at ? last_end : at) + (ns)(option.move_ms * MS);
    ends[(first_move + moves_queued++) % PLANNER_MOST] = last_end;
}

static void take_lines(ns at)
{
    while (used_slots < option.slots && taken != arrived) {
        struct line *line = &queue[taken++ % LINES];
        if (line->dead) continue;
        ring_bytes -= line->size;
        if (check(at, line->text)) used_slots++;
        else line->dead = true;
    }
}

/* The main loop of the firmware at one instant, until nothing more can be done then. */
static void run_firmware(ns at)
{
    for (;;) {
        take_lines(at);
        while (head != taken && queue[head % LINES].dead) head++;
        if (head == taken || busy_until > at) return;
        struct line *line = &queue[head % LINES];
        blocked_until = planner_free(at, line->text);
        if (blocked_until > at) return;
        if (is_move(line->text)) {
            if (option.move_ms > 0) plan(at);
            count_move(option.baud ? line->at : now_ns(), line->text);
            say(at, "ok");
        } else {
            if (job.moves) job.others++;
            if (*line->text == 'M') m_code(at, line->text);
            else say(at, "ok");
        }
        busy_until = at + (ns)(option.command_us * 1000);
        head++;
        used_slots--;
    }
}

/* Everything that happened up to `now`, in the order of its time. */
static ns next_board_event(void)
{
    ns at = arrived != tail ? queue[arrived % LINES].at : NEVER;
    if (head == taken) return at;
    ns wake = busy_until > blocked_until ? busy_until : blocked_until;
    return wake < at ? wake : at;
}

static void advance(ns now)
{
    for (ns at; (at = next_board_event()) <= now;) {
        if (arrived != tail && queue[arrived % LINES].at == at) {
            struct line *line = &queue[arrived++ % LINES];
            wire_bytes -= line->size;
            job.bytes += line->size;
            if (ring_bytes + line->size > option.ring) {
                line->dead = true;
                job.lost++;
            } else
                ring_bytes += line->size;
        }
        run_firmware(at);
    }
}

/* -- the wire ------------------------------------------------------------------------------------------------- */

static void line_end(ns at)
{
    struct line *line = &queue[tail % LINES];
    line->at = at;
    line->size = partial_size + 1;
    line->dead = false;
    memcpy(line->text, partial, partial_size);
    line->text[partial_size] = 0;
    wire_bytes += line->size;
    tail++;
    if (reopened && *line->text == 'N' && strstr(line->text, " G1")) {
        reopened = false;
        printf("{\"event\":\"reopened\",\"t\":%.6f}\n", (double)now_ns() / 1e9);
        fflush(stdout);
    }
    partial_size = 0;
}

static void receive(const char *data, ssize_t size, ns now)
{
    if (ok_written && is_counting() && gaps < GAPS) gap[gaps++] = now - ok_written;
    ok_written = 0;
    if (wire_clock < now) wire_clock = now;
    for (ssize_t i = 0; i < size; i++) {
        wire_clock += byte_ns;
        if (data[i] == '\n' || data[i] == '\r') line_end(wire_clock);
        else if (partial_size < TEXT - 1) partial[partial_size++] = data[i];
    }
}

static void send_replies(ns now)
{
    while (reply_head != reply_tail && replies[reply_head % REPLIES].at <= now) {
        char block[4096];
        unsigned size = 0, upto = reply_head, skip = reply_written;
        bool ok = false;
        while (upto != reply_tail && replies[upto % REPLIES].at <= now && size + TEXT < sizeof block) {
            struct reply *reply = &replies[upto++ % REPLIES];
            memcpy(block + size, reply->text + skip, reply->size - skip);
            size += reply->size - skip;
            skip = 0;
            ok |= reply->ok;
        }
        ssize_t written = write(master, block, size);
        if (written < 0) return;
        if (ok && !ok_written) ok_written = now_ns();
        for (unsigned left = (unsigned)written; left;) {
            unsigned rest = replies[reply_head % REPLIES].size - reply_written;
            if (left < rest) { reply_written += left; break; }
            left -= rest;
            reply_head++;
            reply_written = 0;
        }
        if ((unsigned)written < size) return;
    }
}

static void serve_port(short ready)
{
    char data[4096];
    if (!(ready & POLLIN)) {
        if (ready & POLLHUP) { reopened |= is_open; is_open = false; }
        return;
    }
    ssize_t size = read(master, data, sizeof data);
    if (size > 0) {
        is_open = true;
        receive(data, size, now_ns());
    }
}

/* -- the process ---------------------------------------------------------------------------------------------- */

static bool obey(void)
{
    static char text[256];
    static size_t size;
    ssize_t more = read(0, text + size, sizeof text - 1 - size);
    if (more <= 0) return false;
    size += (size_t)more;
    text[size] = 0;
    for (char *end; (end = strchr(text, '\n'));) {
        *end = 0;
        if (!strncmp(text, "job ", 4)) {
            begin_job(atol(text + 4));
            last_end = 0;
        } else if (!strncmp(text, "watch ", 6)) watched = atoi(text + 6);
        else if (!strcmp(text, "stats")) tell("stats");
        size -= (size_t)(end + 1 - text);
        memmove(text, end + 1, size + 1);
    }
    return true;
}

static ns next_wake(void)
{
    ns at = next_board_event();
    if (reply_head != reply_tail && replies[reply_head % REPLIES].at < at) at = replies[reply_head % REPLIES].at;
    return report_at < at ? report_at : at;
}

static void loop(void)
{
    for (;;) {
        ns now = now_ns();
        advance(now);
        if (report_at <= now) {
            say_temperatures(now, "");
            report_at += report_every;
        }
        send_replies(now);
        ns wake = next_wake(), wait = wake == NEVER ? 1000 * MS : wake - now_ns();
        if (!is_open && wait > MS) wait = MS;              /* a terminal that nobody holds reports HUP at once */
        if (wait < 0) wait = 0;
        struct timespec limit = { wait / 1000000000LL, wait % 1000000000LL };
        bool reads = wire_bytes < BACKLOG && tail - head < LINES - 1024;
        struct pollfd poll_[2] = { { 0, POLLIN, 0 }, { master, reads ? POLLIN : 0, 0 } };
        if (!is_open) {
            ppoll(poll_, 1, &limit, NULL);
            poll_[1].revents = 0;
            struct timespec none = { 0, 0 };
            ppoll(poll_ + 1, 1, &none, NULL);
        } else
            ppoll(poll_, 2, &limit, NULL);
        if (poll_[0].revents && !obey()) return;
        if (poll_[1].revents) serve_port(poll_[1].revents);
    }
}

int main(int count, char **words)
{
    parse_options(count, words);
    byte_ns = option.baud > 0 ? 10000000000LL / option.baud : 0;   /* 8N1: ten bits a byte */
    struct termios raw;
    memset(&raw, 0, sizeof raw);
    cfmakeraw(&raw);
    cfsetspeed(&raw, B115200);
    raw.c_cflag |= CREAD | CLOCAL;
    int slave;
    char name[128];
    if (!prepare_figures() || openpty(&master, &slave, name, &raw, NULL)) { perror("fast_board"); return 1; }
    fcntl(master, F_SETFL, O_NONBLOCK);
    close(slave);
    prctl(PR_SET_TIMERSLACK, 1);
    struct sched_param priority = { .sched_priority = 1 };
    bool realtime = option.realtime && !sched_setscheduler(0, SCHED_RR, &priority);
    printf("{\"event\":\"ready\",\"port\":\"%s\",\"realtime\":%s}\n", name, realtime ? "true" : "false");
    fflush(stdout);
    loop();
    return 0;
}
