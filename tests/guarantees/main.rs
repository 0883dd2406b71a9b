//! The guarantees, each against the real programs, and what the repository promises of itself.

mod a_crowd_is_served;
mod a_service_manager_hears_the_truth;
mod a_start_script_is_told;
mod a_stop_is_orderly;
mod another_language_speaks;
mod bad_input_harms_nobody;
mod bad_sessions_harm_nobody;
mod every_limit_is_written_down;
mod harness;
mod metrics_are_exact;
mod reports_come_whatever_happens;
mod reports_tell_all;
mod settings_are_in_force;
mod starts_are_judged;
mod surfaces_keep_their_word;
mod the_code_map_is_true;
mod the_command_line_helps;
mod the_deployment_is_sound;
mod the_grid_log_is_told_whole;
mod the_repository_is_tidy;
mod the_story;
mod tracing_speaks_one_language;
mod watchers_know_what_there_is;
mod what_is_acknowledged_is_kept;
mod what_is_open_is_shown;
mod who_talks_too_much_is_held_back;
