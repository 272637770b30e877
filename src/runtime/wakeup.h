/* A descriptor by which one thread wakes another out of poll(2). */
#ifndef RUNTIME_WAKEUP_H
#define RUNTIME_WAKEUP_H

/* The descriptor, or -1 with errno. */
int wakeup_open(void);
/* Any thread, and signal handlers. */
void wakeup_send(int fd);
/* Makes the descriptor unreadable again. */
void wakeup_clear(int fd);

#endif
