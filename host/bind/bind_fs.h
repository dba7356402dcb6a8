/* bind_fs.h - what the bindings of files share. */
#ifndef STOKE_BIND_FS_H
#define STOKE_BIND_FS_H

#include <lua.h>
#include <uv.h>

const char *fs_type_of_mode(uint64_t mode); /* "file", "directory", "link" ...; static */
void fs_push_stat(lua_State *L, const uv_stat_t *st);

#endif
