/* What a file is called: its inode, and when it was made, for inodes are used again. */
static int identify(int at, const char *name, struct statx *found, char *key) {
    int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
    if (statx(at, name, flags, STATX_BASIC_STATS | STATX_BTIME, found) != 0) return -1;
    sprintf(key, "%llu-%lld-%u", (unsigned long long)found->stx_ino,
            (long long)found->stx_btime.tv_sec, found->stx_btime.tv_nsec);
    return 0;
}
