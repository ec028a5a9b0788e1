"""Postgres: holds in two calls, one that decides on a batch of reservations and one that settles a batch."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        for function in (COST, LOCKED, ADMIT, FIX):
            op.execute(function)


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        for name in ("quota_fix", "quota_admit", "quota_locked", "quota_cost_us"):
            op.execute(f"DROP FUNCTION {name}")


# quota/gcra.py: cost_us. Past 10^11 units the product leaves 64 bits.
COST = """
CREATE FUNCTION quota_cost_us(amount bigint, per_minute bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN amount < 100000000000
    THEN (amount * 60000000 + per_minute - 1) / per_minute
    ELSE div(amount::numeric * 60000000 + per_minute - 1, per_minute)::bigint END
$$
"""

# Locks the counters of holds, in lock order; the holds themselves are only read.
LOCKED = """
CREATE FUNCTION quota_locked(ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM 1 FROM (
    SELECT k.line->'key'->>'budget' AS budget, k.line->'key'->>'subject' AS subject,
           (k.line->'key'->>'window_us')::bigint AS window_us,
           min(coalesce((k.line->>'rank')::int, 0)) AS rank
    FROM quota_hold h CROSS JOIN LATERAL jsonb_array_elements(h.lines) AS k(line)
    WHERE h.request_id = ANY (ids)
    GROUP BY 1, 2, 3
  ) k JOIN quota_counter c
    ON c.budget = k.budget AND c.subject = k.subject AND c.window_us = k.window_us
  ORDER BY k.rank, k.budget COLLATE "C", k.subject COLLATE "C", k.window_us
  FOR UPDATE OF c;
END $$
"""

# Settles (used: a JSON array of {key, amount}) and voids (used: null).
FIX = """
CREATE FUNCTION quota_fix(ids uuid[], used text[]) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM quota_locked(ids);
  -- A statement of its own: it sees the holds as they are now that their counters are locked.
  WITH h AS MATERIALIZED (
    SELECT q.request_id, q.lines, u.used::jsonb AS used
    FROM unnest(ids, used) AS u(id, used) JOIN quota_hold q ON q.request_id = u.id
    FOR UPDATE OF q
  ), l AS MATERIALIZED (
    SELECT h.request_id, h.used IS NULL AS gone, t.n, t.line,
           t.line->'key'->>'budget' AS budget, t.line->'key'->>'subject' AS subject,
           (t.line->'key'->>'window_us')::bigint AS window_us,
           (t.line->'rate'->>'per_minute')::bigint AS per_minute,
           (t.line->>'amount')::bigint AS held,
           coalesce((SELECT (a.one->>'amount')::bigint
                     FROM jsonb_array_elements(h.used) AS a(one)
                     WHERE a.one->'key' = t.line->'key'), 0) AS used
    FROM h CROSS JOIN LATERAL jsonb_array_elements(h.lines) WITH ORDINALITY AS t(line, n)
  ), d AS (
    SELECT budget, subject, window_us,
           sum(CASE WHEN per_minute IS NULL THEN used - held ELSE 0 END)::bigint AS pending,
           sum(CASE WHEN per_minute IS NULL THEN 0
               ELSE quota_cost_us(used, per_minute) - quota_cost_us(held, per_minute) END)::bigint AS tat_us
    FROM l GROUP BY 1, 2, 3
  ), counted AS (
    UPDATE quota_counter c SET pending = c.pending + d.pending, tat_us = c.tat_us + d.tat_us
    FROM d
    WHERE c.budget = d.budget AND c.subject = d.subject AND c.window_us = d.window_us
      AND (d.pending <> 0 OR d.tat_us <> 0)
  ), voided AS (
    DELETE FROM quota_hold q USING h WHERE q.request_id = h.request_id AND h.used IS NULL
  )
  UPDATE quota_hold q SET lines = n.lines
  FROM (
    SELECT request_id, jsonb_agg(jsonb_set(line, '{amount}', to_jsonb(l.used)) ORDER BY n) AS lines
    FROM l WHERE NOT gone GROUP BY 1
  ) n
  WHERE q.request_id = n.request_id AND q.lines <> n.lines;
END $$
"""

# Decides on reservations and growths in turn. Counters come distinct and in lock order; a line names its
# counter, and the counter its carry-over comes from (0: none), by position. Arrays, since they are read by
# position in constant time; none holds a null. status: 1 granted, 2 exhausted, 3 stale, 4 nothing to grow;
# empty where a counter is not there yet: it is made outside, before anything is locked, or two callers
# could wait for each other.
ADMIT = """
CREATE FUNCTION quota_admit(
  now_us bigint,
  c_budget text[], c_subject text[], c_window bigint[],
  k_budget text[], k_subject text[], k_window bigint[],
  r_id uuid[], r_grows boolean[], r_version bigint[], r_expires bigint[], r_lines text[],
  r_entry bytea[], r_last int[],
  l_counter int[], l_amount bigint[], l_limit bigint[], l_carry int[], l_carry_limit bigint[],
  l_carry_most bigint[], l_per_minute bigint[], l_burst_us bigint[], l_enforce boolean[],
  OUT version bigint, OUT status int[], OUT posted bigint[], OUT pending bigint[],
  OUT allowed bigint[], OUT wait_us bigint[], OUT is_full boolean[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  n_requests int := cardinality(r_id);
  n_lines int := cardinality(l_counter);
  at_posted bigint[]; at_pending bigint[]; at_tat bigint[]; carried bigint[];
  known boolean[] := array_fill(false, ARRAY[n_requests]);
  placed boolean[] := array_fill(false, ARRAY[n_requests]);
  more bigint[] := l_amount;
  found int; head int := 1; tail int; c int; want bigint; cost bigint; room bigint;
  is_short boolean; grown jsonb; one record;
BEGIN
  SELECT count(*), array_agg(s.posted ORDER BY s.i), array_agg(s.pending ORDER BY s.i),
         array_agg(s.tat_us ORDER BY s.i)
  INTO found, at_posted, at_pending, at_tat
  FROM (
    SELECT k.i, q.posted, q.pending, q.tat_us
    FROM unnest(c_budget, c_subject, c_window) WITH ORDINALITY AS k(budget, subject, window_us, i)
    JOIN quota_counter q
      ON q.budget = k.budget AND q.subject = k.subject AND q.window_us = k.window_us
    ORDER BY k.i
    FOR UPDATE OF q
  ) s;
  IF found < cardinality(c_budget) THEN
    status := '{}';
    RETURN;
  END IF;
  -- Statements of their own: they see what was committed until the counters were ours.
  SELECT v.version INTO version FROM directory_version v WHERE v.name = 'budgets';
  version := coalesce(version, 0);
  IF cardinality(k_budget) > 0 THEN
    SELECT array_agg(coalesce(q.posted, 0) ORDER BY k.i) INTO carried
    FROM unnest(k_budget, k_subject, k_window) WITH ORDINALITY AS k(budget, subject, window_us, i)
    LEFT JOIN quota_counter q
      ON q.budget = k.budget AND q.subject = k.subject AND q.window_us = k.window_us;
  END IF;
  FOR one IN
    SELECT k.i, CASE WHEN k.grows THEN h.lines END AS lines
    FROM unnest(r_id, r_grows) WITH ORDINALITY AS k(id, grows, i)
    JOIN quota_hold h ON h.request_id = k.id
  LOOP
    known[one.i] := true;
    IF one.lines IS NOT NULL THEN
      -- What is asked beyond what is held; -1 where the hold is not on that counter, or large enough.
      head := CASE WHEN one.i = 1 THEN 1 ELSE r_last[one.i - 1] + 1 END;
      FOR c, want IN
        SELECT a.n, CASE WHEN a.wanted > b.held THEN a.wanted - b.held ELSE -1 END
        FROM (SELECT t.n, t.line->'key' AS key, (t.line->>'amount')::bigint AS wanted
              FROM jsonb_array_elements(r_lines[one.i]::jsonb) WITH ORDINALITY AS t(line, n)) a
        LEFT JOIN (SELECT t.line->'key' AS key, (t.line->>'amount')::bigint AS held
                   FROM jsonb_array_elements(one.lines) AS t(line)) b ON a.key = b.key
      LOOP
        more[head + c - 1] := coalesce(want, -1);
      END LOOP;
    END IF;
  END LOOP;

  status := array_fill(0, ARRAY[n_requests]);
  posted := array_fill(0::bigint, ARRAY[n_lines]);
  pending := posted; allowed := posted; wait_us := posted;
  is_full := array_fill(false, ARRAY[n_lines]);
  head := 1;
  FOR r IN 1..n_requests LOOP
    tail := r_last[r];
    is_short := false;
    IF NOT r_grows[r] AND r_version[r] < version THEN
      status[r] := 3;
    ELSIF r_grows[r] AND NOT known[r] THEN
      status[r] := 4;
    ELSE
      status[r] := 1;
      FOR l IN head..tail LOOP
        c := l_counter[l];
        allowed[l] := l_limit[l];
        IF l_carry[l] > 0 THEN
          allowed[l] := l_limit[l]
            + least(l_carry_most[l], greatest(0, l_carry_limit[l] - carried[l_carry[l]]));
        END IF;
        IF (r_grows[r] OR NOT known[r]) AND more[l] >= 0 THEN
          IF l_per_minute[l] > 0 THEN
            cost := quota_cost_us(more[l], l_per_minute[l]);
            room := now_us + greatest(l_burst_us[l], cost) - greatest(at_tat[c], now_us) - cost;
            wait_us[l] := -room;
          ELSE
            room := allowed[l] - at_posted[c] - at_pending[c] - greatest(1, more[l]);
          END IF;
          IF room < 0 THEN
            is_full[l] := true;
            is_short := is_short OR l_enforce[l];
          END IF;
        END IF;
      END LOOP;
      IF is_short THEN
        status[r] := 2;
      ELSIF r_grows[r] OR NOT known[r] THEN
        placed[r] := true;
        FOR l IN head..tail LOOP
          c := l_counter[l];
          IF more[l] > 0 AND l_per_minute[l] > 0 THEN
            at_tat[c] := greatest(at_tat[c], now_us) + quota_cost_us(more[l], l_per_minute[l]);
          ELSIF more[l] = 0 AND l_per_minute[l] > 0 THEN
            at_tat[c] := greatest(at_tat[c], now_us);
          ELSIF more[l] > 0 THEN
            at_pending[c] := at_pending[c] + more[l];
          END IF;
        END LOOP;
      END IF;
      FOR l IN head..tail LOOP
        c := l_counter[l];
        posted[l] := at_posted[c];
        pending[l] := CASE WHEN l_per_minute[l] > 0 THEN at_tat[c] ELSE at_pending[c] END;
      END LOOP;
    END IF;
    head := tail + 1;
  END LOOP;

  IF NOT (true = ANY (placed)) THEN
    RETURN;
  END IF;
  UPDATE quota_counter q SET pending = k.pending, tat_us = k.tat_us
  FROM unnest(c_budget, c_subject, c_window, at_pending, at_tat)
    AS k(budget, subject, window_us, pending, tat_us)
  WHERE q.budget = k.budget AND q.subject = k.subject AND q.window_us = k.window_us
    AND (q.pending <> k.pending OR q.tat_us <> k.tat_us);
  INSERT INTO quota_hold (request_id, lines, expires_us, entry)
  SELECT k.id, k.lines::jsonb, k.expires, k.entry
  FROM unnest(r_id, r_lines, r_expires, r_entry, placed, r_grows)
    AS k(id, lines, expires, entry, placed, grows)
  WHERE k.placed AND NOT k.grows;
  UPDATE quota_hold h SET lines = (
    SELECT jsonb_agg(jsonb_set(t.line, '{amount}', to_jsonb(greatest(
             (t.line->>'amount')::bigint,
             coalesce((SELECT (a.line->>'amount')::bigint FROM jsonb_array_elements(k.lines::jsonb) AS a(line)
                       WHERE a.line->'key' = t.line->'key'), 0)))) ORDER BY t.n)
    FROM jsonb_array_elements(h.lines) WITH ORDINALITY AS t(line, n))
  FROM unnest(r_id, r_lines, placed, r_grows) AS k(id, lines, placed, grows)
  WHERE k.placed AND k.grows AND h.request_id = k.id;
END $$
"""
