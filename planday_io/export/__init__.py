"""Files for people: marts and queries of the published file as an Excel workbook or as CSV, with how complete they are."""
