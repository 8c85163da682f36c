#include "levity/model/scenario.hpp"

int main(int count, char** values) { return levity::model::run_scenarios(count, values); }
