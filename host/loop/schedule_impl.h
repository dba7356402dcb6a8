/* schedule_impl.h - what schedule.c and schedule_play.c share; no other file includes it. */
#ifndef STOKE_SCHEDULE_IMPL_H
#define STOKE_SCHEDULE_IMPL_H

#include "schedule.h"

struct task *schedule_task(const struct schedule *s, uint32_t number); /* replay; NULL: no such task now */
void schedule_read(struct schedule *s);                                /* the next delivery is due */
void schedule_list(struct schedule *s);                                /* it has something to do: a turn comes */
void schedule_go_live(struct schedule *s);                             /* the log is used up */

#endif
