-- How large is the gap in each category, and of how many people is enough known?
SELECT portal, compared_by, category_id, category, people, coverage_percent, women, men, mean_gap_percent, median_gap_percent, withheld_reason
FROM marts.pay_gap ORDER BY portal, is_total, category_id;

-- What is the gap in each portal as a whole?
SELECT portal, women, men, women_median, men_median, currency, median_gap_percent, withheld_reason
FROM marts.pay_gap WHERE is_total ORDER BY portal;

-- In which categories is the upper quartile of women below the lower quartile of men?
SELECT portal, category_id, category, women_lower_quartile, women_upper_quartile, men_lower_quartile, men_upper_quartile, currency
FROM marts.pay_gap WHERE NOT is_total AND women_upper_quartile < men_lower_quartile ORDER BY portal, category_id;
