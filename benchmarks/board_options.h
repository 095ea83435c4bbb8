/* What the board is asked to be. */
#include <getopt.h>

#define PLANNER_MOST 64

static struct { long baud, ring, slots, planner; double latency_ms, move_ms, command_us; bool realtime; } option =
    { .ring = 65536, .slots = 4, .planner = 16 };

static void usage(const char *wrong)
{
    fprintf(stderr, "fast_board: %s\n[--baud N] [--latency-ms F] [--move-ms F] [--command-us F] [--ring BYTES] "
                    "[--slots N] [--planner N] [--realtime]\n", wrong);
    exit(2);
}

static void parse_options(int count, char **words)
{
    static const struct option known[] = {
        { "baud", 1, 0, 'b' }, { "latency-ms", 1, 0, 'l' }, { "move-ms", 1, 0, 'm' }, { "command-us", 1, 0, 'c' },
        { "ring", 1, 0, 'r' }, { "slots", 1, 0, 's' }, { "planner", 1, 0, 'p' }, { "realtime", 0, 0, 'R' },
        { 0, 0, 0, 0 } };
    for (int which; (which = getopt_long(count, words, "", known, NULL)) != -1;)
        switch (which) {
        case 'b': option.baud = atol(optarg); break;
        case 'l': option.latency_ms = atof(optarg); break;
        case 'm': option.move_ms = atof(optarg); break;
        case 'c': option.command_us = atof(optarg); break;
        case 'r': option.ring = atol(optarg); break;
        case 's': option.slots = atol(optarg); break;
        case 'p': option.planner = atol(optarg); break;
        case 'R': option.realtime = true; break;
        default: usage("unknown option");
        }
    if (option.planner < 1 || option.planner > PLANNER_MOST || option.slots < 1 || option.ring < 1)
        usage("a size is out of range");
}
