//! The guarantees, each against the real programs, and what the repository promises of itself.

mod another_language_speaks;
mod bad_input_harms_nobody;
mod bad_sessions_harm_nobody;
mod harness;
mod reports_come_whatever_happens;
mod reports_tell_all;
mod starts_are_judged;
mod surfaces_keep_their_word;
mod the_code_map_is_true;
mod the_grid_log_is_told_whole;
mod the_repository_is_tidy;
mod the_story;
mod watchers_know_what_there_is;
mod what_is_acknowledged_is_kept;
