-- Which shifts of the next two weeks does nobody have?
SELECT portal, department_id, department, date, start_local, end_local, position
FROM marts.shifts WHERE is_open AND date BETWEEN today() AND today() + 14 AND month >= strftime(today(), '%Y-%m')
ORDER BY portal, date, start_local;

-- How many hours of work were planned per department and week of this year, sickness, courses and standby left out?
SELECT portal, department_id, department, CAST(date_trunc('week', date) AS DATE) AS week, sum(planned_hours) AS hours
FROM marts.shifts WHERE is_assigned AND kind = 'work' AND month >= strftime(date_trunc('year', today()), '%Y-%m') GROUP BY ALL ORDER BY ALL;

-- What did the roster say last Friday at noon (UTC), and what does it say now?
SELECT portal, count(*) FILTER (WHERE t = 'then') AS shifts_then, count(*) FILTER (WHERE t = 'now') AS shifts_now
FROM (
    SELECT portal, 'then' AS t FROM scheduling.shifts_as_of(date_trunc('week', today()) - INTERVAL 3 DAY + INTERVAL 12 HOUR)
    UNION ALL SELECT portal, 'now' FROM scheduling.shifts
)
GROUP BY ALL ORDER BY ALL;
