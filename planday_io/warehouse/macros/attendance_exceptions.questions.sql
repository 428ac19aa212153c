-- Who was more than ten minutes late, left early or did not come, in the last week?
SELECT portal, date, department_id, department, employee_id, employee, exception, minutes
FROM marts.attendance_exceptions(tolerance_minutes := 10, from_date := today() - 7, to_date := today())
WHERE exception IN ('late', 'left early', 'no-show') ORDER BY portal, date, department_id, employee_id, exception;
