{#
  Ids lead to a row of the table that they refer to, in the same portal. Left out: portals where that table was never read,
  and ids below 0, which are pseudonyms of forgotten people.
    read_as: what sync.slices calls the table; or_to: the table that rows of `to` move to when they leave it.
#}
{% test references_resolve(model, column_name, to, field, read_as, or_to=none, is_list=false) %}
with ids as (
    select distinct portal, {% if is_list %}unnest({{ column_name }}){% else %}{{ column_name }}{% endif %} as id
    from {{ model }}
    where portal in (select portal from {{ source('planday_sync', 'slices') }} where table_name = '{{ read_as }}')
),
known as (
    select portal, {{ field }} as id from {{ to }}
    {% if or_to %}
    union
    select portal, {{ field }} from {{ or_to }}
    {% endif %}
)
select ids.portal, ids.id
from ids
left join known on known.portal = ids.portal and known.id = ids.id
where ids.id >= 0 and known.id is null
{% endtest %}
