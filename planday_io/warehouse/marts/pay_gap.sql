-- One row per portal and category, and one for all of them: hourly pay of women and men who are active now. No rows unless `pay_gap_by` of portals.yaml says by what to compare. Figures of fewer than five women or men are withheld, and so is the smallest other category where the difference to the total would give them away.
--
-- portal: Key of the portal in portals.yaml.
-- compared_by: What a category is: employee_group, department or employee_type. Each person is in one: of several groups the first by id, so that categories add up; the department is the main one.
-- is_total: Whether the row is for all categories of the portal.
-- category_id: Id in `hr.employee_groups`, `hr.departments` or `hr.employee_types`; NULL for people without one, and in the total.
-- category: Its name; NULL where it has none. Group by the id as well.
-- people: Active people in the category, whatever is known of them.
-- coverage_percent: Share of them whose hourly pay and gender are known; NULL where figures are withheld.
-- women: Number of women whose pay is known.
-- men: Number of men whose pay is known.
-- women_mean: Mean pay per hour of women, without supplements, as in `marts.hourly_pay`; people who are paid per shift are left out.
-- men_mean: Mean of men.
-- women_lower_quartile: A quarter of the women are paid less.
-- women_median: Half of the women are paid less.
-- women_upper_quartile: A quarter of the women are paid more.
-- men_lower_quartile: A quarter of the men are paid less.
-- men_median: Half of the men are paid less.
-- men_upper_quartile: A quarter of the men are paid more.
-- mean_gap_percent: How much less women are paid on average, as a percentage of the mean of men; negative where they are paid more.
-- median_gap_percent: The same for the medians.
-- withheld_reason: Why there are no figures: gender not known of anybody (not read, or dropped or hashed by the privacy policy), pay not known of anybody (likewise), too few people (or figures of too few would follow).
-- currency: Of the amounts: that of portals.yaml, or the symbol that payroll shows; NULL where neither is known.
CREATE OR REPLACE VIEW marts.pay_gap AS
WITH chosen AS (SELECT portal, any_value(value) AS compared_by FROM sync.mart_settings WHERE name = 'pay_gap_by' GROUP BY ALL),
genders AS (
    SELECT portal, id, CASE lower(trim(any_value(gender))) WHEN 'female' THEN 'woman' WHEN 'male' THEN 'man' END AS gender
    FROM hr.employee_details GROUP BY ALL
),
pay AS (SELECT portal, employee_id, any_value(hourly_pay) AS hourly_pay FROM marts.hourly_pay GROUP BY ALL),
of_types AS (SELECT portal, id, any_value(employee_type_id) AS employee_type_id FROM hr.employees GROUP BY ALL),
people AS (
    SELECT c.portal, c.compared_by, g.gender, CAST(p.hourly_pay AS DOUBLE) AS pay,
        CASE c.compared_by
            WHEN 'employee_group' THEN list_min(e.employee_group_ids)
            WHEN 'department' THEN e.primary_department_id
            WHEN 'employee_type' THEN t.employee_type_id
        END AS category_id
    FROM marts.employees AS e
    JOIN chosen AS c ON c.portal = e.portal
    LEFT JOIN genders AS g ON g.portal = e.portal AND g.id = e.employee_id
    LEFT JOIN pay AS p ON p.portal = e.portal AND p.employee_id = e.employee_id
    LEFT JOIN of_types AS t ON t.portal = e.portal AND t.id = e.employee_id
    WHERE e.is_active
),
counted AS (
    SELECT portal, compared_by, grouping(category_id) = 1 AS is_total, category_id, count(*) AS people,
        count(gender) AS with_gender, count(pay) AS with_pay,
        count(*) FILTER (WHERE gender = 'woman' AND pay IS NOT NULL) AS women,
        count(*) FILTER (WHERE gender = 'man' AND pay IS NOT NULL) AS men,
        avg(pay) FILTER (WHERE gender = 'woman') AS women_mean,
        avg(pay) FILTER (WHERE gender = 'man') AS men_mean,
        quantile_cont(pay, [0.25, 0.5, 0.75]) FILTER (WHERE gender = 'woman') AS women_quartiles,
        quantile_cont(pay, [0.25, 0.5, 0.75]) FILTER (WHERE gender = 'man') AS men_quartiles
    FROM people GROUP BY GROUPING SETS ((portal, compared_by, category_id), (portal, compared_by))
),
judged AS (SELECT *, women >= 5 AND men >= 5 AS is_large FROM counted),
-- What is left of the total without the large categories: nobody, or five or more of each gender, or one of those is withheld as well.
rest AS (
    SELECT portal, sum(women) FILTER (WHERE NOT is_large) AS women, sum(men) FILTER (WHERE NOT is_large) AS men
    FROM judged WHERE NOT is_total GROUP BY portal
),
ranked AS (
    SELECT j.*, r.women BETWEEN 1 AND 4 OR r.men BETWEEN 1 AND 4 AS gives_away,
        row_number() OVER (PARTITION BY j.portal, j.is_total, j.is_large ORDER BY j.women + j.men, j.category_id) AS number,
        max(CASE WHEN j.is_total THEN j.with_gender END) OVER (PARTITION BY j.portal) AS all_with_gender,
        max(CASE WHEN j.is_total THEN j.with_pay END) OVER (PARTITION BY j.portal) AS all_with_pay
    FROM judged AS j LEFT JOIN rest AS r ON r.portal = j.portal
),
shown AS (
    SELECT *, is_large AND (is_total OR number > 1 OR NOT coalesce(gives_away, false)) AS is_shown FROM ranked
),
names AS (
    SELECT portal, 'employee_group' AS compared_by, id, any_value(name) AS name FROM hr.employee_groups GROUP BY ALL
    UNION ALL SELECT portal, 'department', id, any_value(name) FROM hr.departments GROUP BY ALL
    UNION ALL SELECT portal, 'employee_type', id, any_value(name) FROM hr.employee_types GROUP BY ALL
),
currencies AS (SELECT portal, any_value(value) AS currency FROM sync.mart_settings WHERE name = 'currency' GROUP BY ALL)
SELECT
    s.portal,
    s.compared_by,
    s.is_total,
    s.category_id,
    n.name AS category,
    s.people,
    CASE WHEN s.is_shown THEN round(100.0 * CAST(s.women + s.men AS DOUBLE) / s.people, 1) END AS coverage_percent,
    CASE WHEN s.is_shown THEN s.women END AS women,
    CASE WHEN s.is_shown THEN s.men END AS men,
    CASE WHEN s.is_shown THEN CAST(s.women_mean AS DECIMAL(18, 2)) END AS women_mean,
    CASE WHEN s.is_shown THEN CAST(s.men_mean AS DECIMAL(18, 2)) END AS men_mean,
    CASE WHEN s.is_shown THEN CAST(s.women_quartiles[1] AS DECIMAL(18, 2)) END AS women_lower_quartile,
    CASE WHEN s.is_shown THEN CAST(s.women_quartiles[2] AS DECIMAL(18, 2)) END AS women_median,
    CASE WHEN s.is_shown THEN CAST(s.women_quartiles[3] AS DECIMAL(18, 2)) END AS women_upper_quartile,
    CASE WHEN s.is_shown THEN CAST(s.men_quartiles[1] AS DECIMAL(18, 2)) END AS men_lower_quartile,
    CASE WHEN s.is_shown THEN CAST(s.men_quartiles[2] AS DECIMAL(18, 2)) END AS men_median,
    CASE WHEN s.is_shown THEN CAST(s.men_quartiles[3] AS DECIMAL(18, 2)) END AS men_upper_quartile,
    CASE WHEN s.is_shown THEN round(100.0 * (s.men_mean - s.women_mean) / nullif(s.men_mean, 0), 1) END AS mean_gap_percent,
    CASE WHEN s.is_shown THEN round(100.0 * (s.men_quartiles[2] - s.women_quartiles[2]) / nullif(s.men_quartiles[2], 0), 1) END AS median_gap_percent,
    CASE
        WHEN s.is_shown THEN NULL
        WHEN s.all_with_gender = 0 THEN 'gender not known of anybody'
        WHEN s.all_with_pay = 0 THEN 'pay not known of anybody'
        ELSE 'too few people'
    END AS withheld_reason,
    c.currency
FROM shown AS s
LEFT JOIN names AS n ON NOT s.is_total AND n.portal = s.portal AND n.compared_by = s.compared_by AND n.id = s.category_id
LEFT JOIN currencies AS c ON c.portal = s.portal;
