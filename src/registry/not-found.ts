/** What a tenant is told about things that do not exist, another tenant's included. `param` is what kind of name was wrong. */
import { ServiceError } from '../errors.js'

export function taskNotFound (name: string): ServiceError {
  return new ServiceError('task_not_found', `there is no task ${JSON.stringify(name)}`, { param: 'task' })
}

export function versionNotFound (task: string, number: string): ServiceError {
  return new ServiceError('version_not_found', `task ${task} has no version ${number}`, { param: 'version' })
}

export function aliasNotFound (task: string, alias: string): ServiceError {
  return new ServiceError('alias_not_found', `task ${task} has no alias ${JSON.stringify(alias)}`, { param: 'alias' })
}

export function jobNotFound (id: string): ServiceError {
  return new ServiceError('job_not_found', `there is no training job ${JSON.stringify(id)}`, { param: 'job' })
}
