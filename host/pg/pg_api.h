/* pg_api.h - every function of libpq that host/ calls, once; libpq.status() is PQstatus(). */
#ifndef STOKE_PG_API_H
#define STOKE_PG_API_H

#include <libpq-fe.h>

#include "loop/err.h"

#define PG_FUNCTIONS(X)                                                                                                \
  X(connectStartParams)                                                                                                \
  X(connectPoll)                                                                                                       \
  X(connectionNeedsPassword)                                                                                           \
  X(connectionUsedPassword)                                                                                            \
  X(status)                                                                                                            \
  X(errorMessage)                                                                                                      \
  X(finish)                                                                                                            \
  X(socket)                                                                                                            \
  X(host) X(port) X(db) X(user) X(serverVersion) X(setnonblocking) X(enterPipelineMode) X(pipelineSync) X(sendPrepare) \
      X(sendQueryPrepared) X(sendQueryParams) X(flush) X(consumeInput) X(isBusy) X(getResult) X(resultStatus)          \
          X(resultErrorField) X(ntuples) X(nfields) X(ftype) X(getisnull) X(getvalue) X(getlength) X(cmdTuples)        \
              X(clear) X(notifies) X(freemem) X(setNoticeReceiver)

#define PG_MEMBER(name) __typeof__(PQ##name) *name;
struct pg_api {
  PG_FUNCTIONS(PG_MEMBER)
};
#undef PG_MEMBER

extern struct pg_api libpq;

/* Before the first call of one; later ones cost a look. False with e filled: libpq is not there. Loop thread only. */
bool pg_api_open(struct err *e);

#endif
