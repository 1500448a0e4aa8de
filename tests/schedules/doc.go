// Package schedules holds the two sides of schedules together: the generator,
// which refuses bad ones, and the engine, which computes due times. They do not
// import each other.
package schedules
