/* The migrations, built in: sql/embed.sh makes migrations.c out of sql/. */
#ifndef CLI_MIGRATIONS_H
#define CLI_MIGRATIONS_H

struct migration {
    int version;
    const char *name;
    const char *checksum; /* SHA-256 of the file, hexadecimal */
    const char *sql;      /* the file */
};

extern const struct migration migrations[]; /* versions 1, 2, 3 ... */
extern const int migration_count;
extern const char migration_begin[];     /* begins the transaction of one, and takes the lock */
extern const char migration_bootstrap[]; /* then this, then the migration */

#endif
