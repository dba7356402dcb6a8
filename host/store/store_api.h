/* store_api.h - every function of libsqlite3 that host/ calls, once; sqlite.step() is sqlite3_step(). */
#ifndef STOKE_STORE_API_H
#define STOKE_STORE_API_H

#include <sqlite3.h>

#include "loop/err.h"

#define SQLITE_FUNCTIONS(X)                                                                                            \
  X(libversion)                                                                                                        \
  X(threadsafe)                                                                                                        \
  X(open_v2)                                                                                                           \
  X(close_v2)                                                                                                          \
  X(close)                                                                                                             \
  X(exec) X(db_config) X(file_control) X(interrupt) X(busy_handler) X(set_authorizer) X(progress_handler) X(wal_hook)  \
      X(wal_checkpoint_v2) X(get_autocommit) X(changes) X(total_changes) X(last_insert_rowid) X(errmsg) X(errstr)      \
          X(extended_errcode) X(extended_result_codes) X(limit) X(prepare_v3) X(finalize) X(reset) X(clear_bindings)   \
              X(step) X(stmt_readonly) X(sql) X(column_count) X(column_name) X(column_type) X(column_int64)            \
                  X(column_double) X(column_text) X(column_blob) X(column_bytes) X(bind_parameter_count)               \
                      X(bind_parameter_name) X(bind_null) X(bind_int64) X(bind_double) X(bind_text64) X(bind_blob64)   \
                          X(bind_zeroblob) X(create_function_v2) X(value_type) X(value_blob)                   \
                          X(value_bytes) X(result_int) X(backup_init) X(backup_step) X(backup_finish) X(vfs_find) X(vfs_register)

#define SQLITE_MEMBER(name) __typeof__(sqlite3_##name) *name;
struct sqlite_api {
  SQLITE_FUNCTIONS(SQLITE_MEMBER)
};
#undef SQLITE_MEMBER

extern struct sqlite_api sqlite;

/* Before the first call of one; later ones cost a look. False with e filled: libsqlite3 is not there. Loop thread only. */
bool sqlite_api_open(struct err *e);

#endif
