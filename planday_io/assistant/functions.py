"""The functions that a question may call. It lists what is allowed, so that what a later DuckDB adds is refused.

Left out is what says or changes something about the process, the session or other databases (`current_setting`,
`getvariable`, `duckdb_tables`, `pg_*`), what reads files, or tables by a name in a text (`read_csv`, `query`,
`query_table`), and what waits (`sleep_ms`).
"""

from __future__ import annotations

TABLE_FUNCTIONS = frozenset({"generate_series", "json_each", "json_tree", "range", "unnest"})
"""Functions that may stand behind FROM, besides the file's own macros."""

WINDOW_FUNCTIONS = frozenset(
    "cume_dist dense_rank fill first first_value lag last last_value lead nth_value ntile percent_rank rank rank_dense "
    "row_number".split()
)

FUNCTIONS = frozenset(
    """
    abs acos acosh add age aggregate ago apply array_aggr array_aggregate array_append array_apply array_cat
    array_concat array_contains array_distinct array_extract array_filter array_has array_has_all array_has_any
    array_indexof array_intersect array_length array_pop_back array_pop_front array_position array_prepend
    array_push_back array_push_front array_reduce array_resize array_reverse array_reverse_sort array_select
    array_slice array_sort array_to_json array_to_string array_to_string_comma_default array_transform array_unique
    array_value array_where array_zip ascii asin asinh atan atan2 atanh bit_length cardinality cbrt ceil ceiling
    century char_length character_length chr concat concat_ws contains cos cosh cot current_date current_localtime
    current_localtimestamp damerau_levenshtein date_add date_diff date_part date_sub date_trunc datediff datepart
    datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade degrees divide element_at
    ends_with epoch epoch_ms epoch_ns epoch_us era even exp factorial fdiv filter flatten floor fmod format
    format_bytes from_hex from_json gcd generate_series geomean geometric_mean get_current_time get_current_timestamp
    greatest greatest_common_divisor hamming hash hex hour if ilike_escape instr isfinite isinf isnan isodow isoyear
    jaccard jaro_similarity jaro_winkler_similarity json json_array json_array_length json_contains json_deep_merge
    json_exists json_extract json_extract_path json_extract_path_text json_extract_string json_group_array
    json_group_object json_group_structure json_insert json_keys json_merge_patch json_merge_patch_diff
    json_normalize json_object json_pretty json_quote json_remove json_replace json_set json_strip_nulls
    json_structure json_transform json_type json_valid json_value julian last_day lcase lcm least
    least_common_multiple left left_grapheme len length length_grapheme levenshtein like_escape list_aggr
    list_aggregate list_any_value list_append list_apply list_approx_count_distinct list_avg list_bit_and
    list_bit_or list_bit_xor list_bool_and list_bool_or list_cat list_concat list_contains list_count list_distinct
    list_element list_entropy list_extract list_filter list_first list_has list_has_all list_has_any list_histogram
    list_indexof list_intersect list_kurtosis list_kurtosis_pop list_last list_mad list_max list_median list_min
    list_mode list_pack list_position list_prepend list_reduce list_resize list_reverse list_reverse_sort
    list_select list_sem list_skewness list_slice list_sort list_stddev_pop list_stddev_samp list_string_agg
    list_sum list_transform list_unique list_value list_var_pop list_var_samp list_where list_zip ln log log10 log2
    lower lpad ltrim make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns make_timestamptz map
    map_concat map_contains map_contains_entry map_contains_value map_entries map_extract map_extract_value
    map_from_entries map_keys map_values md5 md5_number microsecond millennium millisecond minute mismatches mod month
    monthname multiply nanosecond not_ilike_escape not_like_escape now nullif octet_length ord overlay pi position
    pow power prefix printf quarter radians random range reduce regexp_escape regexp_extract regexp_extract_all
    regexp_full_match regexp_matches regexp_replace regexp_split_to_array repeat replace reverse right
    right_grapheme round round_even roundbankers row row_to_json rpad rtrim second sha1 sha256 sign sin sinh split
    split_part sqrt starts_with str_split str_split_regex strftime string_split string_split_regex string_to_array
    strip_accents strlen strpos strptime struct_concat struct_contains struct_extract struct_extract_at struct_has
    struct_indexof struct_insert struct_keys struct_pack struct_position struct_update struct_values substr substring
    substring_grapheme subtract suffix tan tanh time_bucket timezone timezone_hour timezone_minute to_centuries
    to_days to_decades to_hex to_hours to_json to_microseconds to_millennia to_milliseconds to_minutes to_months
    to_quarters to_seconds to_timestamp to_weeks to_years today translate trim trunc try_strptime typeof ucase unhex
    unicode union_extract union_tag union_value unnest unpivot_list upper wavg week weekday weekofyear weighted_avg
    xor year yearweek
    """.split()
)
"""Scalar functions, and those that the parser writes for an operator, a literal or EXTRACT. Aggregates are all allowed."""
