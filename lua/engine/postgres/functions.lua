--- What the PostgreSQL engine does inside the server, so that each of it is one round trip: functions of the schema `stoke`.
---
--- Of the items of one key at most one is ready, lent or later; the others that are open stand behind it. Whoever settles it
--- makes the first of them ready. That this is seen by who opens further items at the same moment, settling holds an advisory
--- lock of the group together with others, and opening holds it alone. Both take it before any row.

return {
  [[CREATE OR REPLACE FUNCTION stoke.stream_of(called text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE number integer;
BEGIN
  SELECT id INTO number FROM stoke.streams WHERE name = called;
  IF number IS NULL THEN
    INSERT INTO stoke.streams (name) VALUES (called) ON CONFLICT DO NOTHING;
    SELECT id INTO number FROM stoke.streams WHERE name = called;
  END IF;
  RETURN number;
END $$]],
  "COMMENT ON FUNCTION stoke.stream_of IS 'Number of a stream, which is made where it is not there'",

  [[CREATE OR REPLACE FUNCTION stoke.group_of(stream_name text, called text, begin_at bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE number integer; of integer;
BEGIN
  SELECT g.id INTO number FROM stoke.groups g JOIN stoke.streams s ON s.id = g.stream
    WHERE s.name = stream_name AND g.name = called;
  IF number IS NULL THEN
    of := stoke.stream_of(stream_name);
    INSERT INTO stoke.groups (stream, name, cursor)
      SELECT of, called, CASE WHEN begin_at < 0 THEN s.last ELSE least(greatest(begin_at - 1, 0), s.last) END
      FROM stoke.streams s WHERE s.id = of ON CONFLICT DO NOTHING;
    SELECT id INTO number FROM stoke.groups WHERE stream = of AND name = called;
  END IF;
  RETURN number;
END $$]],
  "COMMENT ON FUNCTION stoke.group_of IS 'Number of a group; a new one begins at that offset (-1: behind the newest item)'",

  [[CREATE OR REPLACE FUNCTION stoke.publish(stream_name text, ids text[], keys text[], vals bytea[], versions bigint[],
  called bigint) RETURNS boolean[] LANGUAGE plpgsql AS $$
DECLARE of integer := stoke.stream_of(stream_name); before bigint; fresh boolean[]; mine boolean[];
BEGIN
  SELECT last INTO before FROM stoke.streams WHERE id = of FOR UPDATE;
  SELECT array_agg(known IS NULL AND nth = 1 ORDER BY n), array_agg(coalesce(known = called, true) AND nth = 1 ORDER BY n)
    INTO fresh, mine FROM (
      SELECT u.n, row_number() OVER (PARTITION BY u.id ORDER BY u.n) AS nth,
        (SELECT i.call FROM stoke.items i WHERE i.stream = of AND i.id = u.id LIMIT 1) AS known
      FROM unnest(ids) WITH ORDINALITY u(id, n)) x;
  INSERT INTO stoke.items (stream, seq, id, key, v, value, call)
    SELECT of, before + row_number() OVER (ORDER BY u.n), u.id, u.key, u.v, u.val, called
    FROM unnest(ids, keys, vals, versions, fresh) WITH ORDINALITY u(id, key, val, v, new, n) WHERE u.new;
  UPDATE stoke.streams SET last = before + (SELECT count(*) FROM unnest(fresh) f WHERE f) WHERE id = of;
  RETURN mine;
END $$]],
  "COMMENT ON FUNCTION stoke.publish IS 'Publish items; false: an id was known, and nothing was done. called: a number of \z
    this call, so that it may be repeated where its answer was lost'",

  [[CREATE OR REPLACE FUNCTION stoke.promote(of integer, keys text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE one text; first bigint;
BEGIN
  FOREACH one IN ARRAY coalesce(keys, '{}') LOOP
    SELECT w.seq INTO first FROM stoke.work w WHERE w.grp = of AND w.key = one AND w.state < 'done' ORDER BY w.seq LIMIT 1;
    UPDATE stoke.work w SET state = (CASE WHEN w.due > clock_timestamp() THEN 'later' ELSE 'ready' END)::stoke.state
      WHERE w.grp = of AND w.seq = first AND w.state = 'behind'
        AND NOT EXISTS (SELECT 1 FROM stoke.work x WHERE x.grp = of AND x.key = one AND x.state < 'behind' AND x.state < 'done');
  END LOOP;
END $$]],
  "COMMENT ON FUNCTION stoke.promote IS 'The first open item of each key may be lent, unless another one of it is'",

  [[CREATE OR REPLACE FUNCTION stoke.expire(of integer, most_tries integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE at timestamptz := clock_timestamp(); over bigint[]; keys text[]; -- a clock in a condition is no index's
BEGIN
  SELECT array_agg(x.seq) INTO over FROM (SELECT w.seq FROM stoke.work w
    WHERE w.grp = of AND w.state IN ('lent', 'later') AND w.due <= at
    ORDER BY w.due LIMIT 1000 FOR UPDATE SKIP LOCKED) x;
  UPDATE stoke.work w SET state = 'dead', settled = 'dead', reason = 'its lease ran out ' || w.tries || ' times'
    WHERE w.grp = of AND w.seq = ANY (over) AND w.state = 'lent' AND w.tries >= most_tries;
  UPDATE stoke.work w SET state = (CASE WHEN w.key IS NULL THEN 'ready' ELSE 'behind' END)::stoke.state
    WHERE w.grp = of AND w.seq = ANY (over) AND w.state IN ('lent', 'later');
  SELECT array_agg(DISTINCT w.key) FILTER (WHERE w.key IS NOT NULL) INTO keys FROM stoke.work w
    WHERE w.grp = of AND w.seq = ANY (over);
  PERFORM stoke.promote(of, keys);
END $$]],
  "COMMENT ON FUNCTION stoke.expire IS 'Items whose lease or delay is over may be lent again; or are dead, after so many tries'",

  [[CREATE OR REPLACE FUNCTION stoke.open(of integer, most bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE from_stream integer; low bigint; high bigint; added bigint; top bigint;
BEGIN
  SELECT g.stream, g.cursor, s.last INTO from_stream, low, high
    FROM stoke.groups g JOIN stoke.streams s ON s.id = g.stream WHERE g.id = of;
  IF low >= high THEN RETURN false; END IF;
  IF (SELECT count(*) FROM (SELECT 1 FROM stoke.work w
      WHERE w.grp = of AND w.key IS NOT NULL AND w.state < 'done' AND w.state = 'behind' LIMIT 10000) x) >= 10000 THEN
    UPDATE stoke.groups SET held = clock_timestamp() + interval '250 milliseconds' WHERE id = of;
    RETURN false;
  END IF;
  top := least(low + most, high);
  INSERT INTO stoke.work (grp, seq, key, state)
    SELECT of, i.seq, i.key, (CASE WHEN i.key IS NULL OR (row_number() OVER (PARTITION BY i.key ORDER BY i.seq) = 1 AND
        (SELECT true FROM stoke.work w WHERE w.grp = of AND w.key = i.key AND w.state < 'done' LIMIT 1) IS NULL)
      THEN 'ready' ELSE 'behind' END)::stoke.state
    FROM stoke.items i WHERE i.stream = from_stream AND i.seq > low AND i.seq <= top AND i.value IS NOT NULL;
  GET DIAGNOSTICS added = ROW_COUNT;
  UPDATE stoke.groups SET cursor = top, opened = opened + added WHERE id = of;
  RETURN true;
END $$]],
  "COMMENT ON FUNCTION stoke.open IS 'The next items of the stream get a row in work; false: there are none, or too many stand \z
    behind others. The caller holds the lock of the group alone'",

  [[CREATE OR REPLACE FUNCTION stoke.claim(stream_name text, group_name text, most bigint, lease float8, begin_at bigint,
  most_tries integer, most_bytes bigint)
RETURNS TABLE (item bigint, id text, key text, v integer, try integer, fence bigint, value bytea, alone boolean,
  next float8)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  of integer := stoke.group_of(stream_name, group_name, begin_at);
  from_stream integer;
  taken bigint[];
  suspects boolean[];
  locked boolean := false;
  at timestamptz := clock_timestamp();
  number bigint := extract(epoch FROM at) * 1000000;
BEGIN
  SELECT g.stream INTO from_stream FROM stoke.groups g WHERE g.id = of;
  IF EXISTS (SELECT 1 FROM stoke.work w WHERE w.grp = of AND w.state IN ('lent', 'later') AND w.due <= at) THEN
    PERFORM pg_advisory_xact_lock(1937010539, of);
    locked := true;
    PERFORM stoke.expire(of, most_tries);
  END IF;
  WHILE (SELECT count(*) FROM (SELECT 1 FROM stoke.work w WHERE w.grp = of AND w.state = 'ready' LIMIT most) x) < most
    AND EXISTS (SELECT 1 FROM stoke.groups g JOIN stoke.streams s ON s.id = g.stream
      WHERE g.id = of AND g.cursor < s.last AND (g.held IS NULL OR g.held <= at)) LOOP
    IF NOT locked THEN
      PERFORM pg_advisory_xact_lock(1937010539, of);
      locked := true;
    END IF;
    EXIT WHEN NOT stoke.open(of, greatest(most, 1000));
  END LOOP;
  SELECT array_agg(x.seq ORDER BY x.seq), array_agg(x.suspect ORDER BY x.seq) INTO taken, suspects FROM (
    SELECT w.seq, w.settled IS NULL AND w.tries >= 2 AS suspect FROM stoke.work w WHERE w.grp = of AND w.state = 'ready'
    ORDER BY w.seq LIMIT most FOR UPDATE SKIP LOCKED) x;
  IF array_position(suspects, true) IS NOT NULL THEN
    taken := taken[1:greatest(array_position(suspects, true) - 1, 1)];
  END IF;
  SELECT array_agg(x.seq) INTO taken FROM (SELECT i.seq, sum(octet_length(i.value)) OVER (ORDER BY i.seq) - octet_length(i.value)
    AS before FROM stoke.items i WHERE i.stream = from_stream AND i.seq = ANY (taken)) x WHERE x.before < most_bytes;
  RETURN QUERY
    WITH lent AS (UPDATE stoke.work w SET state = 'lent', due = clock_timestamp() + lease * interval '1 second',
        tries = w.tries + 1, fence = greatest(w.fence + 1, number), settled = NULL
        WHERE w.grp = of AND w.seq = ANY (taken) RETURNING w.seq, w.tries, w.fence)
    SELECT l.seq, i.id, i.key, i.v, l.tries, l.fence, i.value, suspects[1], NULL::float8 FROM lent l, LATERAL (
      SELECT * FROM stoke.items x WHERE x.stream = from_stream AND x.seq = l.seq LIMIT 1) i ORDER BY l.seq;
  IF NOT FOUND THEN
    RETURN QUERY SELECT NULL::bigint, NULL, NULL, NULL::integer, NULL::integer, NULL::bigint, NULL::bytea, NULL::boolean,
      extract(epoch FROM min(w.due) - clock_timestamp())::float8
      FROM stoke.work w WHERE w.grp = of AND w.state IN ('lent', 'later');
  END IF;
END $$]],
  "COMMENT ON FUNCTION stoke.claim IS 'Lend items to a reader; without any: one row that says in how many seconds to ask again. \z
    alone: its lease ran out twice, so perhaps its readers died of it, and it takes no others along'",

  [[CREATE OR REPLACE FUNCTION stoke.renew(streams text[], groups text[], items bigint[], fences bigint[], lease float8)
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
  FOR r IN SELECT u.*, (SELECT g.id FROM stoke.groups g JOIN stoke.streams s ON s.id = g.stream
      WHERE s.name = u.stream AND g.name = u.called) AS grp
      FROM unnest(streams, groups, items, fences) WITH ORDINALITY u(stream, called, item, fence, n) ORDER BY grp, u.item LOOP
    UPDATE stoke.work w SET state = 'lent', due = clock_timestamp() + lease * interval '1 second'
      WHERE w.grp = r.grp AND w.seq = r.item AND w.fence = r.fence AND w.settled IS NULL AND w.state IN ('lent', 'ready');
    IF NOT FOUND THEN RETURN NEXT r.n; END IF;
  END LOOP;
END $$]],
  "COMMENT ON FUNCTION stoke.renew IS 'Lend for longer; gives the places of those that are lost'",

  [[CREATE OR REPLACE FUNCTION stoke.settle(streams text[], groups text[], items bigint[], fences bigint[], states text[],
  vals bytea[], reasons text[], delays float8[], out_of bigint[], out_streams text[], out_ids text[], out_keys text[],
  out_vals bytea[], out_versions bigint[]) RETURNS boolean[]
LANGUAGE plpgsql AS $$
DECLARE
  good boolean[] := array_fill(false, ARRAY[cardinality(items)]);
  news boolean[] := good;
  of integer;
  at_stream text;
  at_group text;
  r record;
  w stoke.work;
BEGIN
  FOR r IN SELECT * FROM unnest(streams, groups, items, fences, states, vals, reasons, delays) WITH ORDINALITY
      u(stream, called, item, fence, state, val, reason, delay, n) ORDER BY u.stream, u.called, u.item, u.n LOOP
    IF at_stream IS DISTINCT FROM r.stream OR at_group IS DISTINCT FROM r.called THEN
      at_stream := r.stream;
      at_group := r.called;
      SELECT g.id INTO of FROM stoke.groups g JOIN stoke.streams s ON s.id = g.stream
        WHERE s.name = r.stream AND g.name = r.called;
      PERFORM pg_advisory_xact_lock_shared(1937010539, of);
    END IF;
    SELECT * INTO w FROM stoke.work x WHERE x.grp = of AND x.seq = r.item FOR UPDATE;
    CONTINUE WHEN NOT FOUND OR w.fence <> r.fence;
    IF w.settled IS NOT NULL THEN
      good[r.n] := w.settled = r.state;
      CONTINUE;
    END IF;
    good[r.n] := true;
    news[r.n] := true;
    IF r.state IN ('done', 'dead') THEN
      UPDATE stoke.work x SET state = r.state::stoke.state, due = NULL, settled = r.state, value = r.val, reason = r.reason
        WHERE x.grp = of AND x.seq = r.item;
    ELSE
      UPDATE stoke.work x SET due = clock_timestamp() + r.delay * interval '1 second', settled = r.state, reason = r.reason,
        state = (CASE WHEN w.key IS NOT NULL THEN 'behind' WHEN r.delay > 0 THEN 'later' ELSE 'ready' END)::stoke.state,
        tries = CASE WHEN r.state = 'back' THEN w.tries - 1 ELSE w.tries END
        WHERE x.grp = of AND x.seq = r.item;
    END IF;
    IF w.key IS NOT NULL THEN PERFORM stoke.promote(of, ARRAY[w.key]); END IF;
  END LOOP;
  FOR r IN SELECT u.stream, array_agg(u.id ORDER BY u.n) AS ids, array_agg(u.key ORDER BY u.n) AS keys,
      array_agg(u.val ORDER BY u.n) AS vals, array_agg(u.v ORDER BY u.n) AS versions
      FROM unnest(out_of, out_streams, out_ids, out_keys, out_vals, out_versions) WITH ORDINALITY
        u(from_n, stream, id, key, val, v, n) WHERE news[u.from_n] GROUP BY u.stream ORDER BY u.stream LOOP
    PERFORM stoke.publish(r.stream, r.ids, r.keys, r.vals, r.versions, 0);
  END LOOP;
  RETURN good;
END $$]],
  "COMMENT ON FUNCTION stoke.settle IS 'Settle claims, and publish what they hand over, in one step; false: the claim is void'",

  [[CREATE OR REPLACE FUNCTION stoke.rewind(stream_name text, group_name text, to_seq bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE of integer := stoke.group_of(stream_name, group_name, to_seq);
  ahead boolean; gone bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(1937010539, of);
  ahead := NOT EXISTS (SELECT 1 FROM stoke.work WHERE grp = of AND seq >= to_seq AND tries > 0);
  DELETE FROM stoke.work WHERE grp = of AND (seq >= to_seq OR
    ahead AND state < 'done' AND NOT (state = 'lent' AND due > clock_timestamp()));
  GET DIAGNOSTICS gone = ROW_COUNT;
  UPDATE stoke.groups g SET cursor = least(greatest(to_seq - 1, 0), (SELECT s.last FROM stoke.streams s WHERE s.id = g.stream)),
    opened = opened - gone, held = NULL WHERE g.id = of;
  PERFORM stoke.promote(of, (SELECT array_agg(DISTINCT key) FROM stoke.work
    WHERE grp = of AND key IS NOT NULL AND state < 'done' AND state = 'behind'));
END $$]],
  "COMMENT ON FUNCTION stoke.rewind IS 'The group reads on from there: claims and outcomes from there on are void. Where nothing \z
    from there on was tried, it goes ahead: what is open before it is skipped, but for what is lent'",

  [[CREATE OR REPLACE FUNCTION stoke.revive(stream_name text, group_name text, ids text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE of integer := stoke.group_of(stream_name, group_name, 1); from_stream integer; back bigint[]; names text[];
BEGIN
  PERFORM pg_advisory_xact_lock(1937010539, of);
  SELECT g.stream INTO from_stream FROM stoke.groups g WHERE g.id = of;
  SELECT array_agg(w.seq), array_agg(DISTINCT w.key) FILTER (WHERE w.key IS NOT NULL) INTO back, names FROM stoke.work w
    WHERE w.grp = of AND w.state = 'dead' AND (SELECT i.value IS NOT NULL AND (ids IS NULL OR i.id = ANY (ids))
      FROM stoke.items i WHERE i.stream = from_stream AND i.seq = w.seq LIMIT 1);
  UPDATE stoke.work w SET tries = 0, fence = w.fence + 1, settled = NULL, value = NULL, reason = NULL, due = NULL,
    state = (CASE WHEN w.key IS NULL THEN 'ready' ELSE 'behind' END)::stoke.state WHERE w.grp = of AND w.seq = ANY (back);
  UPDATE stoke.work SET state = 'behind' WHERE grp = of AND key = ANY (names) AND state < 'done' AND state IN ('ready', 'later');
  PERFORM stoke.promote(of, names);
  RETURN coalesce(cardinality(back), 0);
END $$]],
  "COMMENT ON FUNCTION stoke.revive IS 'Dead items wait again, their tries counted from 0 (NULL: all of them)'",

  [[CREATE OR REPLACE FUNCTION stoke.trim(stream_name text, before_seq bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE of integer := stoke.stream_of(stream_name); gone bigint;
BEGIN
  PERFORM 1 FROM stoke.streams WHERE id = of FOR UPDATE;
  UPDATE stoke.items i SET value = NULL WHERE i.stream = of AND i.seq < before_seq AND i.value IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM stoke.groups g WHERE g.stream = of AND (g.cursor < i.seq OR
      EXISTS (SELECT 1 FROM stoke.work w WHERE w.grp = g.id AND w.seq = i.seq AND w.state < 'done')));
  GET DIAGNOSTICS gone = ROW_COUNT;
  UPDATE stoke.streams SET trimmed = trimmed + gone WHERE id = of;
  RETURN gone;
END $$]],
  "COMMENT ON FUNCTION stoke.trim IS 'Values of items before an offset go, unless a group has still to do them; ids stay'",

  [[CREATE OR REPLACE FUNCTION stoke.put(bucket_name text, name text, val bytea, expected bigint, called bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE number bigint; present stoke.kv;
BEGIN
  INSERT INTO stoke.buckets (name) VALUES (bucket_name) ON CONFLICT DO NOTHING;
  SELECT b.revision + 1 INTO number FROM stoke.buckets b WHERE b.name = bucket_name FOR UPDATE;
  SELECT * INTO present FROM stoke.kv k WHERE k.bucket = bucket_name AND k.key = put.name;
  IF present.call = called THEN RETURN present.revision; END IF;
  IF present.value IS NULL THEN present.revision := 0; END IF;
  IF expected <> present.revision OR (val IS NULL AND present.revision = 0) THEN RETURN NULL; END IF;
  INSERT INTO stoke.kv (bucket, key, revision, value, call) VALUES (bucket_name, put.name, number, val, called)
    ON CONFLICT (bucket, key) DO UPDATE SET revision = number, value = val, call = called, changed = clock_timestamp();
  UPDATE stoke.buckets b SET revision = number WHERE b.name = bucket_name;
  DELETE FROM stoke.kv k WHERE val IS NULL AND k.bucket = bucket_name AND k.value IS NULL
    AND k.changed < clock_timestamp() - interval '1 day';
  RETURN number;
END $$]],
  "COMMENT ON FUNCTION stoke.put IS 'Write a value (NULL: delete it). expected: only where its revision is that; 0: there is \z
    none; NULL: whatever it is. NULL comes back where nothing was written'",

  [[CREATE OR REPLACE FUNCTION stoke.append(log_name text, log_key text, after bigint, val bytea, called bigint, OUT done boolean,
  OUT last bigint) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO stoke.logs (name, key, seq, value, call) SELECT log_name, log_key, after + 1, val, called
    WHERE after = coalesce((SELECT max(l.seq) FROM stoke.logs l WHERE l.name = log_name AND l.key = log_key), 0)
    ON CONFLICT DO NOTHING;
  done := FOUND OR EXISTS (SELECT 1 FROM stoke.logs l
    WHERE l.name = log_name AND l.key = log_key AND l.seq = after + 1 AND l.call = called);
  SELECT coalesce(max(l.seq), 0) INTO last FROM stoke.logs l WHERE l.name = log_name AND l.key = log_key;
END $$]],
  "COMMENT ON FUNCTION stoke.append IS 'Append a record behind the last one of its key, where that is `after`; else nothing is \z
    written'",
}
