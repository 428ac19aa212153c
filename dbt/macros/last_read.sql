{#
  When a table was last read completely: of the portals that have it, the one that was read longest ago. Of tables with a
  slice per month the current month counts, which every schedule reads again, or the newest one where that was never read.
#}
{% macro last_read(table_name, is_monthly=false) %}
select min(read_at) as read_at from (
    select portal,
        {%- if is_monthly %}
        coalesce(
            max(fetched_at) filter (where month = strftime(current_date, '%Y-%m')),
            max_by(fetched_at, month)
        ) as read_at
        {%- else %}
        max(fetched_at) as read_at
        {%- endif %}
    from {{ source('planday_sync', 'slices') }}
    where table_name = '{{ table_name }}'
    group by portal
)
{% endmacro %}
