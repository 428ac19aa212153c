-- One row per row of time and cost, its duration in hours. Planday writes durations as D:HH:MM or as HH:MM:SS, and the text alone does not say which; so it is compared with the length of the shift and with all rows of the same answer (portal, month, department). Hours that remain unclear are NULL, with the reason.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- month: Month of the row (YYYY-MM).
-- department_id: Id in `hr.departments`.
-- date: Day the cost belongs to.
-- shift_id: Id in `scheduling.shifts`; NULL for supplements.
-- ordinal: Number of the row among those that are equal in all of the above.
-- employee_id: Id of the employee.
-- duration: As Planday writes it.
-- answer_form: How the answer writes durations: D:HH:MM or HH:MM:SS; NULL where its rows do not show it.
-- shift_hours: Hours of the shift from start to end, as the roster has it now.
-- hours: The duration in hours, without breaks; NULL where it is not clear.
-- hours_gap: Why there are no hours: no duration, not a duration, form unclear, another form than the answer, does not fit the shift.
-- cost: What Planday says it costs, paid breaks included; never add it to payroll.
-- currency: That of portals.yaml, or the symbol that payroll shows; NULL where neither is known.
CREATE OR REPLACE VIEW marts.planned_costs AS
WITH texts AS (
    -- Each text once: a portal's durations are a few hundred different ones.
    SELECT duration, text,
        regexp_full_match(text, '-?[0-9]{1,4}:[0-9]{1,2}:[0-9]{1,2}([.,][0-9]{1,9})?') AS is_triple,
        CASE WHEN text LIKE '-%' THEN -1 ELSE 1 END AS sign
    FROM (
        SELECT duration, trim(duration, chr(32) || chr(9) || chr(10) || chr(13)) AS text
        FROM (SELECT DISTINCT duration FROM scheduling.time_and_costs)
    )
),
parts AS (
    SELECT *,
        CASE WHEN is_triple THEN TRY_CAST(regexp_extract(text, '([0-9]+):([0-9]+):([0-9]+)', 1) AS BIGINT) END AS a,
        CASE WHEN is_triple THEN TRY_CAST(regexp_extract(text, '([0-9]+):([0-9]+):([0-9]+)', 2) AS BIGINT) END AS b,
        CASE WHEN is_triple THEN TRY_CAST(regexp_extract(text, '([0-9]+):([0-9]+):([0-9]+)', 3) AS BIGINT) END AS c,
        -- Days and a time behind a point (.NET), or two to four numbers; ISO 8601. Of these the text says what it is.
        regexp_extract(text, '^-?([0-9]{1,4})(?:[.:]([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]{1,9})?|\.([0-9]{1,2}):([0-9]{1,2}))$',
            ['days', 'hours', 'minutes', 'seconds', 'short_hours', 'short_minutes']) AS long_form,
        regexp_extract(text, '^-?([0-9]{1,3}):([0-9]{2})$', ['hours', 'minutes']) AS short_form,
        regexp_extract(upper(text), '^-?P(?:([0-9]{1,4})D)?(?:T(?:([0-9]{1,5}(?:[.,][0-9]{1,9})?)H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,8})(?:[.,][0-9]{1,9})?S)?)?$',
            ['days', 'hours', 'minutes', 'seconds']) AS iso_form,
        CASE WHEN regexp_full_match(text, '-?[0-9]{1,5}([.,][0-9]{1,9})?') THEN TRY_CAST(replace(text, ',', '.') AS DOUBLE) END AS number
    FROM texts
),
parsed AS (
    SELECT duration, text, is_triple,
        CASE WHEN b <= 24 AND c <= 59 AND NOT regexp_matches(text, '[.,]')
            THEN CAST(round(sign * (a * 1440 + b * 60 + c) / 60.0, 4) AS DECIMAL(18, 4))
        END AS by_days,
        CASE WHEN b <= 59 AND c <= 59
            THEN CAST(round(sign * (a * 3600 + b * 60 + c) / 3600.0, 4) AS DECIMAL(18, 4))
        END AS by_clock,
        CASE
            WHEN is_triple THEN NULL
            WHEN long_form.days <> '' THEN CAST(round(sign * (
                coalesce(TRY_CAST(long_form.days AS BIGINT), 0) * 86400
                + coalesce(TRY_CAST(long_form.hours AS BIGINT), TRY_CAST(long_form.short_hours AS BIGINT), 0) * 3600
                + coalesce(TRY_CAST(long_form.minutes AS BIGINT), TRY_CAST(long_form.short_minutes AS BIGINT), 0) * 60
                + coalesce(TRY_CAST(long_form.seconds AS BIGINT), 0)) / 3600.0, 4) AS DECIMAL(18, 4))
            WHEN iso_form.days <> '' OR iso_form.hours <> '' OR iso_form.minutes <> '' OR iso_form.seconds <> ''
            THEN CAST(round(sign * (
                coalesce(TRY_CAST(iso_form.days AS BIGINT), 0) * 86400 + coalesce(TRY_CAST(replace(iso_form.hours, ',', '.') AS DOUBLE), 0) * 3600
                + coalesce(TRY_CAST(iso_form.minutes AS BIGINT), 0) * 60 + coalesce(TRY_CAST(iso_form.seconds AS BIGINT), 0)
                ) / 3600.0, 4) AS DECIMAL(18, 4))
        END AS as_said,
        CASE
            WHEN short_form.hours <> '' AND TRY_CAST(short_form.minutes AS BIGINT) <= 59 THEN CAST(round(sign * (
                TRY_CAST(short_form.hours AS BIGINT) * 60 + TRY_CAST(short_form.minutes AS BIGINT)) / 60.0, 4) AS DECIMAL(18, 4))
            WHEN number IS NOT NULL THEN CAST(round(number, 4) AS DECIMAL(18, 4))
        END AS as_usual
    FROM parts
),
timed AS NOT MATERIALIZED (
    -- Instants as in marts.spans, but of the shifts of these rows only.
    SELECT c.portal, c.portal_id, c.month, c.department_id, c.date, c.shift_id, c.ordinal, c.employee_id, c.duration, c.cost,
        s.start_date_time AS start_local, s.end_date_time AS end_local, z.zone,
        s.start_date_time - to_seconds(CASE WHEN s.start_date_time >= o.later_from THEN o.later_offset_seconds ELSE o.offset_seconds END) AS start_at
    FROM scheduling.time_and_costs AS c
    LEFT JOIN scheduling.shifts AS s ON s.portal = c.portal AND s.id = c.shift_id
    LEFT JOIN sync.time_zones AS z ON z.portal = s.portal AND z.name = coalesce(s.time_zone, '')
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = z.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(s.start_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
spanned AS NOT MATERIALIZED (
    SELECT t.*, date_diff('second', t.start_local, t.end_local) AS clock_seconds,
        coalesce(date_diff('second', t.start_at, CASE
            WHEN t.end_local >= o.later_from THEN t.end_local - to_seconds(o.later_offset_seconds)
            WHEN t.end_local - to_seconds(o.offset_seconds) > t.start_at OR t.end_local < coalesce(o.repeats_from, TIMESTAMP 'infinity')
                THEN t.end_local - to_seconds(o.offset_seconds)
            ELSE t.end_local - to_seconds(o.repeat_offset_seconds)
        END), date_diff('second', t.start_local, t.end_local)) AS seconds
    FROM timed AS t
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = t.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(t.end_local, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
lasting AS NOT MATERIALIZED (
    -- A shift without a length says nothing.
    SELECT *, CASE WHEN seconds > 0 THEN CAST(seconds / 3600.0 AS DECIMAL(18, 4)) END AS hours,
        CASE WHEN seconds > 0 THEN CAST(clock_seconds / 3600.0 AS DECIMAL(18, 4)) END AS clock_hours
    FROM spanned
),
readings AS NOT MATERIALIZED (
    SELECT c.portal, c.portal_id, c.month, c.department_id, c.date, c.shift_id, c.ordinal, c.employee_id, c.duration, c.cost,
        p.text, p.is_triple, p.by_days, p.by_clock, p.as_said, p.as_usual, c.hours AS shift_hours,
        -- A break may take a part of the shift. Clocks that changed count or do not count; minutes are rounded.
        least(c.hours, c.clock_hours) / 20 AS shortest,
        greatest(c.hours, c.clock_hours) + 0.02 AS longest
    FROM lasting AS c LEFT JOIN parsed AS p ON p.duration = c.duration
),
answers AS (
    -- The two forms differ by a factor of 24 at least, so a shift never fits both.
    SELECT portal, month, department_id,
        count(*) FILTER (by_days BETWEEN 5 * shortest AND longest) AS fit_days,
        count(*) FILTER (by_clock BETWEEN 5 * shortest AND longest) AS fit_clock,
        count(*) FILTER (is_triple AND longest IS NOT NULL) AS beside_shifts,
        count(*) FILTER (is_triple AND shift_id IS NOT NULL AND (by_days IS NULL OR abs(by_days) > 25)) AS not_days,
        count(*) FILTER (is_triple AND shift_id IS NOT NULL AND by_clock IS NULL) AS not_clock
    FROM readings GROUP BY ALL
),
formed AS NOT MATERIALIZED (
    SELECT r.*, CASE
        WHEN a.fit_days > a.fit_clock THEN 'D:HH:MM'
        WHEN a.fit_clock > a.fit_days THEN 'HH:MM:SS'
        WHEN a.beside_shifts > 0 THEN NULL
        -- No shift is known. What no shift can be as long as is in the other form.
        WHEN a.not_days > 0 AND a.not_clock = 0 THEN 'HH:MM:SS'
        WHEN a.not_clock > 0 AND a.not_days = 0 THEN 'D:HH:MM'
    END AS answer_form
    FROM readings AS r
    LEFT JOIN answers AS a ON a.portal = r.portal AND a.month = r.month AND a.department_id = r.department_id
),
read AS NOT MATERIALIZED (
    SELECT *,
        CASE
            WHEN NOT coalesce(is_triple, false) THEN coalesce(as_said, as_usual)
            WHEN by_days = 0 AND by_clock = 0 THEN by_days
            WHEN answer_form = 'D:HH:MM' THEN by_days
            WHEN answer_form = 'HH:MM:SS' THEN by_clock
        END AS value,
        coalesce(CASE answer_form WHEN 'D:HH:MM' THEN by_clock WHEN 'HH:MM:SS' THEN by_days END BETWEEN 5 * shortest AND longest, false)
            AS fits_otherwise
    FROM formed
),
judged AS NOT MATERIALIZED (
    SELECT *, CASE
        WHEN text IS NULL OR text = '' OR text = 'null' THEN 'no duration'
        WHEN coalesce(by_days, by_clock, as_said, as_usual) IS NULL THEN 'not a duration'
        WHEN value IS NULL AND answer_form IS NULL THEN 'form unclear'
        WHEN value IS NULL OR fits_otherwise THEN 'another form than the answer'
        WHEN value = 0 OR shift_id IS NULL THEN NULL
        WHEN shift_hours IS NULL AND value BETWEEN 0 AND 25 THEN NULL
        WHEN as_said BETWEEN 0 AND longest THEN NULL
        WHEN value BETWEEN shortest AND longest THEN NULL
        ELSE 'does not fit the shift'
    END AS hours_gap
    FROM read
),
currencies AS (SELECT portal, any_value(value) AS currency FROM sync.mart_settings WHERE name = 'currency' GROUP BY ALL)
SELECT j.portal, j.portal_id, j.month, j.department_id, j.date, j.shift_id, j.ordinal, j.employee_id, j.duration, j.answer_form, j.shift_hours,
    CASE WHEN j.hours_gap IS NULL THEN j.value END AS hours,
    j.hours_gap,
    TRY_CAST(j.cost AS DECIMAL(18, 4)) AS cost,
    c.currency
FROM judged AS j LEFT JOIN currencies AS c ON c.portal = j.portal;
