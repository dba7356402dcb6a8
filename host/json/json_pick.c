/* json_pick.c - reads the one short text a stream's line usually carries, straight from its bytes.
 * It knows JSON and the caller's spec, no vendor. Whatever it does not expect makes it step back:
 * the full reader decides then. */
#include "json.h"
#include "json_scan.h"

enum { NODE_OBJECT, NODE_SKIP, NODE_TEXT, NODE_SECOND, NODE_LITERAL };

/* ---- compiling ---- */

static bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t';
}

static int store(struct pick_spec *s, const char *bytes, size_t len) {
  if (len == 0 || len > (size_t)PICK_NAMES_MAX - 1 - s->names_len) return -1;
  int at = s->names_len;
  memcpy(s->names + at, bytes, len);
  s->names_len = (uint8_t)(s->names_len + len);
  return at;
}

/* The child of `parent` with this name, appended if missing; -1 = no room. */
static int child_of(struct pick_spec *s, int parent, const char *name, size_t len, bool *made) {
  int8_t *link = &s->nodes[parent].child;
  for (; *link >= 0; link = &s->nodes[*link].next) {
    struct pick_node *n = &s->nodes[*link];
    if (n->name_len == len && memcmp(s->names + n->name, name, len) == 0) return *made = false, *link;
  }
  int at = s->count < PICK_NODES_MAX ? store(s, name, len) : -1;
  if (at < 0) return -1;
  int index = s->count++;
  s->nodes[index] =
      (struct pick_node){.kind = NODE_OBJECT, .name = (uint8_t)at, .name_len = (uint8_t)len, .child = -1, .next = -1};
  *link = (int8_t)index;
  return *made = true, index;
}

static bool is_literal(const char *p, size_t len) {
  if ((len == 4 && (memcmp(p, "true", 4) == 0 || memcmp(p, "null", 4) == 0)) ||
      (len == 5 && memcmp(p, "false", 5) == 0))
    return true;
  if (len > 1 && *p == '-') p++, len--;
  if (len == 0 || len > 18 || (len > 1 && *p == '0')) return false;
  while (len && *p >= '0' && *p <= '9') p++, len--;
  return len == 0;
}

/* One word of the spec, [p, end); NULL or an error message. */
static const char *add_word(struct pick_spec *s, const char *p, const char *end) {
  int node = 0, kind = NODE_SKIP, literal = 0;
  const char *path_end = p, *value;
  bool made = false;
  while (path_end < end && *path_end != ':' && *path_end != '=') path_end++;
  value = path_end + (path_end < end);
  if (path_end < end && *path_end == '=') {
    if (!is_literal(value, (size_t)(end - value))) return "a literal is true, false, null or an integer";
    kind = NODE_LITERAL;
    literal = store(s, value, (size_t)(end - value));
    if (literal < 0) return "too long";
  } else if (path_end < end) {
    if (end - value == 4 && memcmp(value, "text", 4) == 0)
      kind = NODE_TEXT;
    else if (end - value == 6 && memcmp(value, "second", 6) == 0)
      kind = NODE_SECOND;
    else
      return "a role is :text or :second";
  }
  while (p <= path_end) {
    const char *dot = p;
    while (dot < path_end && *dot != '.') dot++;
    for (const char *c = p; c < dot; c++)
      if (!json_is_plain((json_byte)*c)) return "a name has plain characters only";
    if (dot == p) return "empty name";
    if (node && s->nodes[node].kind != NODE_OBJECT) return "a member is both a value and an object";
    node = child_of(s, node, p, (size_t)(dot - p), &made);
    if (node < 0) return "too many members";
    p = dot + 1;
  }
  if (!made) return "named twice";
  s->nodes[node].kind = (uint8_t)kind;
  s->nodes[node].literal = (uint8_t)literal;
  s->nodes[node].literal_len = kind == NODE_LITERAL ? (uint8_t)(end - value) : 0;
  if (kind == NODE_LITERAL) s->required |= 1u << node;
  return NULL;
}

bool pick_compile(struct pick_spec *spec, const char *words, const char **why) {
  bool texts[2] = {false, false};
  memset(spec, 0, sizeof *spec);
  spec->nodes[0].child = spec->nodes[0].next = -1;
  spec->count = 1;
  while (*words) {
    while (is_space(*words)) words++;
    const char *end = words;
    while (*end && !is_space(*end)) end++;
    if (end == words) break;
    *why = add_word(spec, words, end);
    if (*why) return false;
    words = end;
  }
  for (int i = 1; i < spec->count; i++) {
    int role = spec->nodes[i].kind - NODE_TEXT;
    if (role != 0 && role != 1) continue;
    *why = "each role is given once";
    if (texts[role]) return false;
    texts[role] = true;
  }
  *why = "no member is the :text";
  return texts[0];
}

/* ---- reading a line ---- */

struct walk {
  const struct pick_spec *spec;
  const json_byte *end;
  const json_byte *text[2]; /* the two texts, still escaped; NULL = not there */
  size_t len[2];
  uint32_t seen;
};

static inline const json_byte *space(const json_byte *p, const json_byte *end) {
  if (p<end && * p> ' ') return p;
  while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) p++;
  return p;
}

/* Behind a string whose bytes are all plain; NULL when they are not. p is behind the opening
 * quote. */
static inline const json_byte *plain_string(const json_byte *p, const json_byte *end) {
  p = json_plain(p, end);
  return p < end && *p == '"' ? p + 1 : NULL;
}

static const json_byte *skip_value(const json_byte *p, const json_byte *end) {
  const json_byte *start = p;
  if (p < end && *p == '"') return plain_string(p + 1, end);
  while (p < end && *p != ',' && *p != '}' && *p > ' ') p++;
  return is_literal((const char *)start, (size_t)(p - start)) ? p : NULL;
}

/* The string to return, or NULL if the full reader would not accept it. */
static const json_byte *read_text(struct walk *w, int which, const json_byte *p) {
  struct json_reader r;
  if (p == w->end || *p != '"' || w->text[which]) return NULL;
  const json_byte *start = p + 1, *end = json_plain(start, w->end);
  if (end == w->end) return NULL;
  if (*end != '"') { /* escapes, UTF-8: the reader checks the string as a text of its own */
    json_open(&r, (const char *)p, (size_t)(w->end - p), 1);
    if (json_next(&r) != JSON_STRING) return NULL;
    end = (const json_byte *)r.text + r.len;
  }
  w->text[which] = start;
  w->len[which] = (size_t)(end - start);
  return end + 1;
}

/* The child of `parent` that the key at p names (p is behind its opening quote), tried from `hint`
 * on; -1 = none. */
static inline int match(const struct walk *w, int parent, int hint, const json_byte *p) {
  const struct pick_spec *s = w->spec;
  int first = hint < 0 ? s->nodes[parent].child : hint, i = first;
  size_t left = (size_t)(w->end - p);
  if (i < 0) return -1;
  do {
    const struct pick_node *n = &s->nodes[i];
    if (n->name_len < left && p[n->name_len] == '"' && memcmp(p, s->names + n->name, n->name_len) == 0) return i;
    i = n->next >= 0 ? n->next : s->nodes[parent].child;
  } while (i != first);
  return -1;
}

static const json_byte *read_members(struct walk *w, int parent, const json_byte *p);

static const json_byte *read_member(struct walk *w, int i, const json_byte *p) {
  const struct pick_node *n = &w->spec->nodes[i];
  switch (n->kind) {
    case NODE_SKIP: return skip_value(p, w->end);
    case NODE_TEXT: return read_text(w, 0, p);
    case NODE_SECOND: return read_text(w, 1, p);
    case NODE_OBJECT: return read_members(w, i, p);
    default:
      if ((size_t)(w->end - p) < n->literal_len || memcmp(p, w->spec->names + n->literal, n->literal_len) != 0)
        return NULL;
      return p + n->literal_len; /* a longer word fails at the comma that is not there */
  }
}

/* The object at p with the members of node `parent`; behind it, or NULL. Recursion is as deep as
 * the spec's paths. */
static const json_byte *read_members(struct walk *w, int parent, const json_byte *p) {
  int hint = -1;
  if (p == w->end || *p != '{') return NULL;
  p = space(p + 1, w->end);
  if (p < w->end && *p == '}') return p + 1;
  for (;;) {
    if (p == w->end || *p != '"') return NULL;
    int i = match(w, parent, hint, ++p);
    if (i < 0 || (w->seen >> i & 1)) return NULL;
    w->seen |= 1u << i;
    p = space(p + w->spec->nodes[i].name_len + 1, w->end);
    if (p == w->end || *p != ':') return NULL;
    p = read_member(w, i, space(p + 1, w->end));
    if (!p) return NULL;
    p = space(p, w->end);
    if (p == w->end) return NULL;
    if (*p == '}') return p + 1;
    if (*p != ',') return NULL;
    p = space(p + 1, w->end);
    hint = w->spec->nodes[i].next;
  }
}

enum pick_result pick_line(const struct pick_spec *spec, const char *line, size_t len, char *scratch,
                           size_t scratch_size, struct pick *p) {
  struct walk w = {.spec = spec, .end = (const json_byte *)line + len};
  if (len == 0) return PICK_OTHER;
  const json_byte *end = read_members(&w, 0, space((const json_byte *)line, w.end));
  if (!end || space(end, w.end) != w.end || (w.seen & spec->required) != spec->required) return PICK_OTHER;
  if ((!w.text[0] && !w.text[1]) || (w.len[0] && w.len[1])) return PICK_OTHER;
  bool second = w.len[1] > 0 || !w.text[0];
  const char *text = (const char *)w.text[second];
  size_t text_len = w.len[second];
  if (text_len && memchr(text, '\\', text_len)) {
    if (scratch_size < text_len) return PICK_OTHER;
    text_len = json_unescape(scratch, text, text_len);
    text = scratch;
  }
  p->text = text;
  p->len = text_len;
  p->second = second;
  return PICK_PLAIN;
}
