/* Many clients that bring the same messages, all at once, while days pass. */
#ifndef INBOX_STORM_H
#define INBOX_STORM_H

/* It is so many days later than the server's clock says, for whoever claims from now on. */
void set_day(int day);

void test_storm(void);

#endif
