/* What the fast board counts of one job, and how it tells it: one JSON object. */
#define MS 1000000LL
#define GAPS 2000000

typedef int64_t ns;

static int watched;   /* the process whose CPU time is taken */
static struct {
    long wanted, moves, refused, lost, starved, others;
    uint64_t bytes, bytes_first;
    ns first, last, starved_ns;
    double cpu_first, cpu_last;
    uint32_t crc;
} job;
static ns *gap;        /* from an ok that was written to the next bytes */
static long gaps;
static ns ok_written;  /* 0: the host has answered since */
static uint32_t crc_table[256];

static ns now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* User and system time of another process with all its threads, also ended ones. */
static double cpu_of(int pid)
{
    struct timespec t;
    if (!pid || clock_gettime((clockid_t)(~(unsigned)pid << 3 | 2), &t)) return 0;
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
    ns x = *(const ns *)a, y = *(const ns *)b;
    return (x > y) - (x < y);
}

static double gap_ms(double share)
{
    long at = (long)(share * (double)gaps);
    return gaps ? (double)gap[at < gaps ? at : gaps - 1] / 1e6 : 0;
}

static void tell(const char *event)
{
    qsort(gap, (size_t)gaps, sizeof *gap, by_size);
    double seconds = (double)(job.last - job.first) / 1e9;
    printf("{\"event\":\"%s\",\"moves\":%ld,\"seconds\":%.6f,\"cpu_s\":%.6f,\"bytes\":%llu,\"crc\":%u,"
           "\"refused\":%ld,\"lost\":%ld,\"other_lines\":%ld,\"starved\":%ld,\"starved_ms\":%.3f,\"gaps\":%ld,"
           "\"gap_ms\":{\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"p99.9\":%.4f,\"max\":%.4f}}\n",
           event, job.moves, seconds, job.cpu_last - job.cpu_first,
           (unsigned long long)(job.bytes - job.bytes_first), job.crc ^ 0xffffffffu, job.refused, job.lost,
           job.others, job.starved, (double)job.starved_ns / 1e6, gaps, gap_ms(0.5), gap_ms(0.9), gap_ms(0.99),
           gap_ms(0.999), gap_ms(1));
    fflush(stdout);
}

static bool is_counting(void) { return job.moves > 0 && job.moves < job.wanted; }

/* A move got its place in the planner at `at`. */
static void count_move(ns at, const char *text)
{
    if (!job.wanted || job.moves >= job.wanted) return;
    for (const char *c = text; *c; c++) job.crc = crc_table[(job.crc ^ (uint8_t)*c) & 255] ^ job.crc >> 8;
    job.crc = crc_table[(job.crc ^ '\n') & 255] ^ job.crc >> 8;
    job.last = at;
    if (++job.moves == 1) {
        job.first = job.last;
        job.bytes_first = job.bytes;
        job.cpu_first = cpu_of(watched);
        ok_written = 0;
    }
    if (job.moves == job.wanted) {
        job.cpu_last = cpu_of(watched);
        tell("done");
    }
}

static void begin_job(long moves)
{
    memset(&job, 0, sizeof job);
    job.crc = 0xffffffffu;
    job.wanted = moves;
    gaps = 0;
}

static bool prepare_figures(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320u ^ value >> 1 : value >> 1;
        crc_table[i] = value;
    }
    gap = malloc(GAPS * sizeof *gap);
    return gap;
}
