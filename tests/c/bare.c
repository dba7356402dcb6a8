/* bare.c - comments taken out of Lua texts (host/embed/bare.c, a part of the build tool): what is none stays, lines keep their
 * numbers. */
#include <stdio.h>
#include <string.h>

#include "../../host/embed/bare.c"

static const struct {
  const char *text, *bare;
} cases[] = {
    {"local a = 1 -- one\nreturn a\n", "local a = 1\nreturn a\n"},
    {"-- head\n-- more\n  local a\n", "\n\nlocal a\n"},
    {"a = '--' .. \"-- \\\" --\" --'\n", "a = '--' .. \"-- \\\" --\"\n"},
    {"a = [[\n  -- kept \n]] -- gone", "a = [[\n  -- kept \n]]  "},
    {"a --[[ one\ntwo ]] = --[==[ ]] ]==] 1\n", "a  \n =   1\n"},
    {"a--[[b]]c = 1\n", "a c = 1\n"},
    {"t[ [[k]] ] = t[x] -- ]]\n", "t[ [[k]] ] = t[x]\n"},
    {"s = 'x  \\\n  y'  \n", "s = 'x  \\\n  y'\n"},
    {"a = [==[ ]] ]=] ]==]\n--[=x\nb = 1", "a = [==[ ]] ]=] ]==]\n\nb = 1"},
    {"return 5 - -3 --", "return 5 - -3  "},
    {"", ""},
};

int main(void) {
  int failures = 0;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[200];
    size_t len = strlen(cases[i].text);
    memcpy(text, cases[i].text, len);
    len = bare_text(text, len);
    if (len == strlen(cases[i].bare) && memcmp(text, cases[i].bare, len) == 0) continue;
    printf("failed: \"%s\"\nbecame \"%.*s\"\n", cases[i].text, (int)len, text);
    failures++;
  }
  return failures > 0;
}
