-- Which shifts of the last twelve months are longer or shorter than the clock on the wall says, because clocks changed?
SELECT portal, id AS shift_id, start_local, end_local, clock_hours, hours
FROM marts.spans WHERE span_of = 'shift' AND hours <> clock_hours AND start_local >= today() - INTERVAL 1 YEAR
ORDER BY portal, start_local, shift_id;

-- Which time zones are used in the last month, and are they those that were sent?
SELECT portal, span_of, named_zone, zone, zone_reason, count(*) AS spans FROM marts.spans
WHERE start_local BETWEEN today() - INTERVAL 31 DAY AND today() + INTERVAL 1 DAY GROUP BY ALL ORDER BY ALL;

-- How many people were at work at each full hour of the last week (UTC)?
SELECT s.portal, h.hour, count(*) AS at_work
FROM (SELECT unnest(generate_series(CAST(today() - 7 AS TIMESTAMP), CAST(today() AS TIMESTAMP), INTERVAL 1 HOUR)) AS hour) AS h
JOIN marts.spans AS s ON s.span_of = 'punch' AND s.start_utc <= timezone('UTC', h.hour) AND s.end_utc > timezone('UTC', h.hour)
WHERE s.start_local >= today() - INTERVAL 9 DAY
GROUP BY ALL ORDER BY ALL;
