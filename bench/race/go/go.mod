module levity_race

go 1.25
