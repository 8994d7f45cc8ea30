/* Kills its process at a moment of its database's journal, which KILL_AT counts from 1: there is one
 * before each commit is written and one after each is flushed. Writes how many there were so far into the file
 * KILL_LOG. To be preloaded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether all that was written to the journal is flushed. There is one writer. */
static int flushed = 1;
static int moments;

static int is_journal(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path);
    return length > 4 && memcmp(path + length - 4, "-wal", 4) == 0;
}

static void moment(void) {
    const char *last = getenv("KILL_AT"), *log = getenv("KILL_LOG");
    moments++;
    if (last && atoi(last) == moments) kill(getpid(), SIGKILL);
    if (log) {
        FILE *file = fopen(log, "w");
        if (file) {
            fprintf(file, "%d\n", moments);
            fclose(file);
        }
    }
}

static void writing(int file) {
    if (flushed && is_journal(file)) {
        flushed = 0;
        moment();
    }
}

static void synced(int file) {
    if (!flushed && is_journal(file)) {
        flushed = 1;
        moment();
    }
}

ssize_t write(int file, const void *bytes, size_t length) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    writing(file);
    return real(file, bytes, length);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite");
    writing(file);
    return real(file, bytes, length, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    writing(file);
    return real(file, bytes, length, at);
}

int fsync(int file) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    int done = real(file);
    synced(file);
    return done;
}

int fdatasync(int file) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    int done = real(file);
    synced(file);
    return done;
}
