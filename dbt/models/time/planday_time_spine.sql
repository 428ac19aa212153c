{# Days, which MetricFlow needs. Off with the variable planday_time_spine: false, where a project has its own. #}
{{ config(enabled=var('planday_time_spine', true)) }}
select cast(range as date) as date_day from range(date '2000-01-01', date '2051-01-01', interval 1 day)
